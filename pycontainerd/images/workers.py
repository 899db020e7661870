"""The daemon's side of the unpack workers: keeps the template running, hands out jobs, turns answers into errors.

Thread-safe; each job blocks its caller. The template costs an exec and some imports once (about 60 ms) and forks a
worker for a job in 2 ms; should it die, the next job starts another.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import isal
import zstandard

from pycontainerd.core import errors
from pycontainerd.linux import process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_START = (
    "import sys; n = int(sys.argv[1]); sys.path[:0] = sys.argv[2:]; "
    "import os; os.dup2(n, 3); "
    "from pycontainerd.images import filework, treework, worker; "
    "worker.main({**treework.OPERATIONS, **filework.OPERATIONS})"
)
_ERRORS: dict[str, type[errors.PycontainerdError]] = {
    "InvalidArgument": errors.InvalidArgument,
    "ResourceExhausted": errors.ResourceExhausted,
}
_MAX_ANSWER = 16 << 20


class Workers:
    """Runs jobs (see ``images.worker``) in confined processes; ``scratch`` becomes an empty directory to mount on."""

    def __init__(self, scratch: str) -> None:
        self.scratch = scratch
        self._lock = threading.Lock()
        self._process: process.Process[bytes] | None = None
        self._control: socket.socket | None = None

    def close(self) -> None:
        """End the template; running jobs finish."""
        with self._lock:
            self._stop()

    def run(
        self,
        request: Mapping[str, Any],
        descriptor: int,
        meanwhile: Callable[[], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> dict[str, Any]:
        """Run one job, handing it ``descriptor``, and return its answer.

        ``meanwhile`` runs while the job does (to read its output); when it raises, the worker is ended. Raises
        InvalidArgument, ResourceExhausted, Unknown as the worker says, Unavailable when it died.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._submit(theirs.fileno(), descriptor)
            ours.sendall(json.dumps({**request, "scratch": self.scratch}).encode() + b"\n")
            if meanwhile is not None:
                meanwhile()
            answer = _receive(ours, cancelled)
        except (BrokenPipeError, ConnectionResetError):
            answer = b""
        finally:
            ours.close()
        return _judge(answer)

    def _submit(self, job: int, descriptor: int) -> None:
        """Hand both descriptors to a template, a new one if need be."""
        with self._lock:
            for attempt in range(2):
                try:
                    if self._control is None:
                        self._start()
                    assert self._control is not None
                    socket.send_fds(self._control, [b"job"], [job, descriptor])
                except OSError as error:
                    self._stop()
                    if attempt:
                        raise errors.Unavailable("cannot start an unpack worker", hint=str(error)) from error
                else:
                    return

    def _start(self) -> None:
        Path(self.scratch).mkdir(mode=0o700, parents=True, exist_ok=True)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        here = Path(__file__).resolve().parents[2]
        paths = dict.fromkeys([str(here), *(str(Path(m.__file__ or "").parents[1]) for m in (isal, zstandard))])
        argv = [sys.executable, "-I", "-S", "-c", _START, str(theirs.fileno()), *paths]
        with theirs:
            self._process = process.spawn(argv, fds=[theirs.fileno()], env={"LC_ALL": "C.UTF-8"}, cwd="/")
        self._control = ours

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            with suppress(OSError):
                self._process.wait(5)
            self._process = None


def _receive(connection: socket.socket, cancelled: Callable[[], bool] | None) -> bytes:
    """The answer line; empty when the worker died."""
    connection.settimeout(0.5 if cancelled else None)
    parts: list[bytes] = []
    size = 0
    while not parts or not parts[-1].endswith(b"\n"):
        try:
            piece = connection.recv(1 << 16)
        except TimeoutError:
            if cancelled is not None and cancelled():
                raise errors.Cancelled("unpacking was given up") from None
            continue
        size += len(piece)
        if not piece or size > _MAX_ANSWER:
            return b""
        parts.append(piece)
    return b"".join(parts)


def _judge(answer: bytes) -> dict[str, Any]:
    if not answer:
        raise errors.Unavailable("the unpack worker died")
    found: dict[str, Any] = json.loads(answer)
    if "error" in found:
        raise _ERRORS.get(found["error"], errors.Unknown)(found["message"])
    return found


def read_all(descriptor: int, take: Callable[[bytes], object]) -> None:
    """Pass everything from a pipe on, until its writers are gone."""
    while data := os.read(descriptor, 1 << 20):
        take(data)
