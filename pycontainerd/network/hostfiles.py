"""Containers' managed files on disk: written when a sandbox comes up, brought up to date when it changes networks.

They lie in ``<directory>/<namespace>/<container>/`` and are bind-mounted into the container, so they are written in
place: another file under the name would never be seen inside. A note beside them says what was written, and for which
network namespace, which tells a user's edits from ours and a new life from a change.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

import structlog

from pycontainerd.core import hostfiles
from pycontainerd.core.dnsresolv import HOST_FILE, STUB_FILE, ResolvConf, is_loopback, parse
from pycontainerd.core.errors import PycontainerdError
from pycontainerd.linux import fds
from pycontainerd.network import namespaces

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pycontainerd.core.network import Network, Sandbox

    Lookup = Callable[[Sandbox], Mapping[str, Network]]

NOTE = ".hostfiles.json"
_LIMIT = 1 << 20
"""Largest file a container may have made of one of them, in bytes, for us to look at it."""
_log = structlog.get_logger("network")


class HostFiles:
    """A ``core.network.SandboxWatcher``; ``networks`` tells what a sandbox is on, by id."""

    def __init__(self, directory: str, networks: Lookup, resolv_conf: str = HOST_FILE) -> None:
        self.directory = directory
        self._networks, self._resolv_conf = networks, resolv_conf

    def path(self, namespace: str, container: str) -> str:
        """The directory of a container's files."""
        return f"{self.directory}/{namespace}/{container}"

    def sandbox_up(self, sandbox: Sandbox) -> None:
        """Write the files of a new life; in the same life, put changed addresses in and leave a user's edits alone."""
        try:
            self._write(sandbox)
        except (OSError, ValueError, PycontainerdError) as error:
            _log.error("managed files of a container are not written", container=sandbox.container, error=str(error))

    def sandbox_down(self, sandbox: Sandbox) -> None:
        """Nothing: they are needed for the next start, and go with the container."""

    def recovered(self, sandboxes: Sequence[Sandbox]) -> None:
        """Nothing: what is there of containers that do not run is for their next start."""

    def remove(self, namespace: str, container: str) -> None:
        """Delete the files of a container that is gone, and its directory unless others have put something there."""
        path = self.path(namespace, container)
        for name in (hostfiles.HOSTNAME, hostfiles.HOSTS, hostfiles.RESOLV_CONF, NOTE):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{path}/{name}")
        with contextlib.suppress(OSError):
            os.rmdir(path)

    def _write(self, sandbox: Sandbox) -> None:
        path, networks = self.path(sandbox.namespace, sandbox.container), self._networks(sandbox)
        os.makedirs(path, mode=0o710, exist_ok=True)
        life, note = namespaces.life(sandbox.netns), _note(path)
        own = hostfiles.own_lines(sandbox)
        resolv = hostfiles.render_resolv_conf(hostfiles.resolv_conf(sandbox, networks, self.host_resolv()))
        if note.get("life") != life:
            _put(f"{path}/{hostfiles.HOSTNAME}", hostfiles.render_hostname(sandbox))
            _put(f"{path}/{hostfiles.HOSTS}", hostfiles.render_hosts(sandbox, networks))
            _put(f"{path}/{hostfiles.RESOLV_CONF}", resolv)
        else:
            _edit_hosts(f"{path}/{hostfiles.HOSTS}", note.get("own", []), own)
            if _digest_of(f"{path}/{hostfiles.RESOLV_CONF}") != note.get("resolv"):
                resolv = ""
            elif note.get("resolv") != _digest(resolv):
                _put(f"{path}/{hostfiles.RESOLV_CONF}", resolv)
        kept = {"life": life, "own": own, "resolv": _digest(resolv) if resolv else note.get("resolv")}
        if kept != note:
            fds.replace_file(f"{path}/{NOTE}", json.dumps(kept).encode(), 0o600)

    def host_resolv(self) -> ResolvConf:
        """The host's resolv.conf; the one behind systemd-resolved when it names only that."""
        conf = parse(_read(self._resolv_conf))
        if self._resolv_conf == HOST_FILE and conf.servers == ("127.0.0.53",):
            behind = parse(_read(STUB_FILE))
            if any(not is_loopback(server) for server in behind.servers):
                return behind
        return conf


def _note(path: str) -> dict[str, Any]:
    try:
        found = json.loads(fds.read_file(f"{path}/{NOTE}", _LIMIT))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _edit_hosts(path: str, old: list[str], new: list[str]) -> None:
    if old == new:
        return
    text = fds.read_file(path, _LIMIT).decode(errors="surrogateescape")
    _put(path, hostfiles.merge_hosts(text, old, new))


def _put(path: str, text: str) -> None:
    """Write a file in place: first the bytes, then its end, so that a reader never finds it empty. Raises OSError."""
    data = text.encode(errors="surrogateescape")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        if os.fstat(descriptor).st_size == 0:
            os.fchmod(descriptor, 0o644)  # whatever the daemon's umask
        fds.write_all(descriptor, data)
        os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _digest_of(path: str) -> str:
    try:
        return hashlib.sha256(fds.read_file(path, _LIMIT)).hexdigest()
    except OSError:
        return ""


def _read(path: str) -> str:
    try:
        return fds.read_file(path, _LIMIT).decode(errors="replace")
    except OSError:
        return ""
