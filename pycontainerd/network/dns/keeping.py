"""The daemon's side of the DNS responder: starts or finds it, tells it who is called what, replaces it when it dies.

A ``core.network.SandboxWatcher``. It remembers what the responder has to know, and makes it so whenever there is a new
responder; sockets are opened by the network agent and handed over.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

import structlog

from pycontainerd.core.dnsmember import member, needs_responder
from pycontainerd.core.dnsresolv import HOST_FILE, RESOLVER
from pycontainerd.core.errors import PycontainerdError, Unavailable
from pycontainerd.linux import fds, process
from pycontainerd.network.client import SOURCE
from pycontainerd.network.dns.responder import MAX_MESSAGE, VERSION
from pycontainerd.network.namespaces import life
from pycontainerd.network.wire import memory_file, read_all
from pycontainerd.wire import failpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pycontainerd.core.network import Network, Sandbox
    from pycontainerd.network.client import AgentClient

    Lookup = Callable[[Sandbox], Mapping[str, Network]]

_LIMIT = 10.0
_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from pycontainerd.network.dns.responder import main; main()"
)
_log = structlog.get_logger("dns")


class DnsKeeper:
    """Names for containers. ``path`` is the responder's socket, ``networks`` tells what a sandbox is on, by id."""

    def __init__(self, agent: AgentClient, path: str, networks: Lookup, resolv_conf: str = HOST_FILE) -> None:
        self.path = path
        self._agent, self._networks, self._resolv_conf = agent, networks, resolv_conf
        self._lock = threading.RLock()
        self._socket: socket.socket | None = None
        self._members: dict[str, dict[str, Any]] = {}
        self._held: dict[str, str] = {}
        self._closed = False

    # What the engine tells

    def sandbox_up(self, sandbox: Sandbox) -> None:
        """Have a sandbox's names known, if it is on a network that has names; once it had, it keeps its responder."""
        key = f"{sandbox.namespace}/{sandbox.container}"
        with self._guard("names of a container are not known", key), self._lock:
            networks = self._networks(sandbox)
            if not needs_responder(sandbox, networks) and key not in self._members:
                return
            self._members[key] = member(sandbox, networks, life(sandbox.netns))
            try:
                self._connect(start=True)
                self._push(key)
            except Unavailable:
                if self._socket is not None:
                    raise
                self._connect(start=True)  # it died over this; the next one is told of all members

    def sandbox_down(self, sandbox: Sandbox) -> None:
        """Take its names away and close its sockets, which would keep the namespace alive."""
        key = f"{sandbox.namespace}/{sandbox.container}"
        with self._guard("names of a container are not removed", key), self._lock:
            self._members.pop(key, None)
            if self._connect(start=False) and self._held.pop(key, None) is not None:
                self._ask({"drop": key})

    def recovered(self, sandboxes: Sequence[Sandbox]) -> None:
        """These are all that are active after a start of the daemon: what a responder has beyond them goes."""
        keep = [f"{sandbox.namespace}/{sandbox.container}" for sandbox in sandboxes]
        with self._guard("names of gone containers are not removed", ""), self._lock:
            if self._connect(start=False):
                self._held = {key: life for key, life in self._held.items() if key in keep}
                self._ask({"keep": keep})

    def remote(self, group: str, members: Mapping[str, dict[str, Any]]) -> None:
        """Names on other hosts, in place of what the group had before: members by key, without a namespace here."""
        mine = {f"@{group}/{key}": known for key, known in members.items()}
        with self._guard("names on other hosts are not known", group), self._lock:
            gone = [key for key in self._members if key.startswith(f"@{group}/") and key not in mine]
            changed = [key for key, known in mine.items() if self._members.get(key) != known]
            for key in gone:
                del self._members[key]
            self._members.update(mine)
            if not self._connect(start=False):
                return
            for key in gone:
                self._held.pop(key, None)
                self._ask({"drop": key})
            for key in changed:
                self._push(key)

    def status(self) -> dict[str, Any]:
        """What the responder says of itself (version, pid, errors, members); empty when there is none."""
        with self._lock, contextlib.suppress(Unavailable):
            return self._hello() if self._connect(start=False) else {}
        return {}

    def close(self) -> None:
        """Let go of the responder, which goes on answering."""
        with self._lock:
            self._closed = True
            self._disconnect()

    @contextlib.contextmanager
    def _guard(self, what: str, key: str) -> Iterator[None]:
        """A watcher does not raise: a container without names is better than none."""
        try:
            yield
        except (PycontainerdError, OSError, ValueError) as error:
            _log.error(what, container=key, error=str(error))

    # The responder

    def _push(self, key: str) -> None:
        """Tell the responder of a sandbox, with sockets when it has none for this life of it."""
        known = self._members[key]
        sockets: list[int] = []
        if known["netns"] and self._held.get(key) != known["life"]:
            _, sockets = self._agent.run_opening([{"op": "dns.open", "netns": known["netns"], "address": RESOLVER}])
        try:
            failpoint.hit("network.dns.push")
            self._ask({"put": key, "member": known}, sockets)
        finally:
            for descriptor in sockets:
                fds.close(descriptor)
        self._held[key] = known["life"]

    def _ask(self, request: dict[str, Any], descriptors: Sequence[int] = ()) -> dict[str, Any]:
        """One request. Raises Unavailable, disconnected when the responder died over it."""
        assert self._socket is not None
        try:
            return self._exchange(request, descriptors)
        except OSError as error:
            self._disconnect()
            raise Unavailable("DNS responder", hint=f"it died: {error}; another one is started") from error

    def _exchange(self, request: dict[str, Any], descriptors: Sequence[int]) -> dict[str, Any]:
        assert self._socket is not None
        data = json.dumps(request).encode()
        if len(data) > MAX_MESSAGE:
            large = memory_file(data)
            try:
                socket.send_fds(self._socket, [b"{}"], [large, *descriptors])
            finally:
                os.close(large)
        else:
            socket.send_fds(self._socket, [data], descriptors)
        reply, received, _, _ = socket.recv_fds(self._socket, MAX_MESSAGE, 1)
        if not reply:
            raise ConnectionResetError("end of file")
        if received:
            reply = read_all(received[0])
            os.close(received[0])
        answer: dict[str, Any] = json.loads(reply)
        if "error" in answer:
            raise Unavailable("DNS responder", hint=answer["error"])
        return answer

    def _hello(self) -> dict[str, Any]:
        return self._ask({"hello": 1})

    def _connect(self, *, start: bool) -> bool:
        """Be connected to a responder, and one that knows everything; without ``start`` only if there is one."""
        if self._socket is not None:
            return True
        if self._closed:
            raise Unavailable("DNS responder", hint="the daemon is shutting down")
        if not self._reach() and not start:
            return False
        if self._socket is None:
            self._launch()
            if not self._reach():
                raise Unavailable("DNS responder", hint="it does not answer at its socket")
        assert self._socket is not None
        client = self._socket
        threading.Thread(target=self._watch, args=(client, client.fileno()), name="dns", daemon=True).start()
        for key in [key for key in self._members if self._held.get(key) != self._members[key]["life"]]:
            with self._guard("names of a container are not known", key):
                self._push(key)
        return True

    def _reach(self) -> bool:
        """Connect to the responder at our path, if there is one that understands us; an old one is stopped."""
        self._held = {}
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MAX_MESSAGE)
            client.settimeout(_LIMIT)
            client.connect(self.path)
            self._socket = client
            hello = self._exchange({"hello": 1}, ())
            if hello.get("version") == VERSION:
                self._held = dict(hello["members"])
                return True
            _log.info("DNS responder of another version is replaced", version=hello.get("version"))
            self._exchange({"stop": 1}, ())
        except (OSError, ValueError, KeyError, PycontainerdError):
            pass
        client.close()
        self._socket = None
        return False

    def _launch(self) -> None:
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
            server.bind(self.path)
            os.chmod(self.path, 0o600)
            server.listen(8)
            argv = [sys.executable, "-I", "-S", "-c", _PROGRAM, SOURCE, self._resolv_conf, self.path]
            argv.append(str(server.fileno()))
            try:
                process.spawn(argv, fds=(server.fileno(),), cwd="/", env={}, new_session=True)
            except OSError as error:
                raise Unavailable("DNS responder", hint=f"cannot be started: {error}") from error

    def _watch(self, client: socket.socket, descriptor: int) -> None:
        """Wait for the end of the connection, and replace a responder that died."""
        waiting = select.poll()
        waiting.register(descriptor, select.POLLRDHUP)
        waiting.poll()
        with self._lock:
            if self._socket is client:
                self._disconnect()
            if self._closed or self._socket is not None or not self._members:
                return
            _log.warning("DNS responder died; another one is started")
            with self._guard("DNS responder is not started", ""):
                self._connect(start=True)

    def _disconnect(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that watches it
            self._socket.close()
            self._socket = None
