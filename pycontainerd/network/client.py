"""The daemon's side of the network agent: starts it when first needed, replaces it when it dies. Thread-safe.

Requests are asked one after the other. Every operation may be repeated, so a request that was in flight when the agent
died is asked again of the next one.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

import structlog

from pycontainerd.core.errors import ResourceExhausted, Unavailable, Unknown
from pycontainerd.linux import fds, process
from pycontainerd.network.wire import MAX_MESSAGE, memory_file, read_all
from pycontainerd.wire import failpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycontainerd.core.network import Op

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_ATTEMPTS = 3
_LIMIT = 60.0
"""Seconds an answer may take; a full rule set of ten thousand ports takes one."""
_log = structlog.get_logger("network")


class AgentError(Unknown):
    """Raised when the agent could not do an operation; ``number`` is the errno."""

    def __init__(self, op: str, number: int, message: str) -> None:
        self.op, self.number, self.reason = op, number, message
        super().__init__(f"cannot set up the network: {message}")


class AgentClient:
    """Runs operations in the agent process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: process.Process[bytes] | None = None
        self._socket: socket.socket | None = None
        self._closed = False

    @property
    def pid(self) -> int:
        """The agent's process id, 0 while there is none."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start the agent ahead of its first request, which takes its imports off it."""
        with self._lock:
            if self._socket is None:
                self._launch()

    def run(self, *ops: Op) -> list[Any]:
        """Run operations in order and return what each answered.

        Raises AgentError at the first that fails, Unavailable when agents keep dying.
        """
        results, opened = self.run_opening(ops)
        for descriptor in opened:
            fds.close(descriptor)
        return results

    def run_opening(self, ops: Sequence[Op]) -> tuple[list[Any], list[int]]:
        """The same, with the descriptors that the operations opened; they are the caller's to close."""
        if not ops:
            return [], []
        data = json.dumps({"ops": list(ops)}).encode()
        answer, opened = self._ask(data)
        if (error := answer.get("error")) is not None:
            for descriptor in opened:
                fds.close(descriptor)
            raise _error(error["op"], error["errno"], error["message"])
        return answer["results"], opened

    def _ask(self, data: bytes) -> tuple[dict[str, Any], list[int]]:
        with self._lock:
            for _ in range(_ATTEMPTS):
                if self._socket is None:
                    self._launch()
                failpoint.hit("network.agent.request")
                try:
                    return self._exchange(data)
                except TimeoutError:
                    self._drop()
                    raise Unavailable("network agent", hint=f"no answer within {_LIMIT:g} s") from None
                except OSError as error:
                    _log.warning("network agent died", error=str(error))
                    self._drop()
        raise Unavailable("network agent", hint=f"it died {_ATTEMPTS} times over one request; see the daemon's log")

    def _exchange(self, data: bytes) -> tuple[dict[str, Any], list[int]]:
        assert self._socket is not None
        if len(data) > MAX_MESSAGE:
            large = memory_file(data)
            try:
                socket.send_fds(self._socket, [b"{}"], [large])
            finally:
                os.close(large)
        else:
            self._socket.send(data)
        reply, opened, _, _ = socket.recv_fds(self._socket, MAX_MESSAGE, 16)
        if not reply:
            raise ConnectionResetError("end of file")
        if reply == b"{}" and opened:
            large = opened.pop(0)
            reply = read_all(large)
            os.close(large)
        answer: dict[str, Any] = json.loads(reply)
        return answer, opened

    def _launch(self) -> None:
        if self._closed:
            raise Unavailable("network agent", hint="the daemon is shutting down")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MAX_MESSAGE)
        try:
            self._process = process.spawn(
                [sys.executable, "-I", "-c", _PROGRAM, SOURCE, str(theirs.fileno())],
                fds=(theirs.fileno(),),
                stderr=process.INHERIT,
                new_session=True,
            )
        except OSError as error:
            ours.close()
            raise Unavailable("network agent", hint=f"cannot be started: {error}") from error
        finally:
            theirs.close()
        ours.settimeout(_LIMIT)
        self._socket = ours

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            process.kill_group(self._process)
            self._process = None

    def close(self) -> None:
        """End the agent; what it has set up stays."""
        with self._lock:
            self._closed = True
            self._drop()


def _error(op: str, number: int, message: str) -> AgentError | ResourceExhausted:
    if number == errno.EXFULL:
        hint = "a bridge of Linux has 1023 ports and no more: put containers on a further network"
        return ResourceExhausted("cannot set up the network", message, hint)
    return AgentError(op, number, message)


_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from pycontainerd.network.agent import main; main()"
