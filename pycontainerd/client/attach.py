"""Joining the streams of a process: FIFOs in a directory only we can enter, connected by the Attach service."""

from __future__ import annotations

import os

from pycontainerd.core.errors import Unavailable
from pycontainerd.wire.messages import attach as messages
from pycontainerd.wire.messages.google import Empty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from pycontainerd.client.daemon import Daemon

SERVICE = "pycontainerd.attach.v1.Attach"


class Fifos:
    """The FIFOs of one attachment.

    Reading ends are open (non-blocking) before ``attach``, so that the shim finds a reader; the writing end for stdin
    is opened after it, when there is one who reads. A descriptor is -1 for a stream that is not wanted or was closed.
    """

    def __init__(self, base: str, *, stdin: bool, stdout: bool, stderr: bool) -> None:
        """Makes them in a new directory below ``base``. Raises OSError."""
        self.stdin = self.stdout = self.stderr = -1
        self.attachment = ""
        os.makedirs(base, mode=0o700, exist_ok=True)
        self.path = f"{base}/{os.urandom(8).hex()}"
        os.mkdir(self.path, 0o700)
        self._names = [name for name, wanted in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)) if wanted]
        try:
            for name in self._names:
                os.mkfifo(self._path(name), 0o600)
                if name != "stdin":
                    setattr(self, name, os.open(self._path(name), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        except BaseException:
            self.close()
            raise

    def _path(self, name: str) -> str:
        return f"{self.path}/{name}" if name in self._names else ""

    def attach(self, daemon: Daemon, id: str, exec_id: str = "", *, replay: int = 0, waited_for: bool = False) -> None:
        """Connect them to the process, after up to ``replay`` bytes of what it wrote last.

        ``waited_for``: its output waits for us; otherwise we miss what we do not keep up with.
        """
        request = messages.AttachRequest(
            id=id,
            exec_id=exec_id,
            stdin=self._path("stdin"),
            stdout=self._path("stdout"),
            stderr=self._path("stderr"),
            replay=replay,
            waited_for=waited_for,
        )
        self.attachment = daemon.call(SERVICE, "Attach", request, messages.AttachResponse).attachment
        if "stdin" in self._names:
            try:
                self.stdin = os.open(self._path("stdin"), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                raise Unavailable("the process does not read its standard input any more") from error

    def detach(self, daemon: Daemon, id: str, exec_id: str = "") -> None:
        """Leave; the process runs on."""
        request = messages.DetachRequest(id=id, exec_id=exec_id, attachment=self.attachment)
        daemon.call(SERVICE, "Detach", request, Empty)

    def close_stdin(self) -> None:
        """Close the writing end."""
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def close(self) -> None:
        """Close and remove everything; can be done twice."""
        for name in ("stdin", "stdout", "stderr"):
            fd = getattr(self, name)
            if fd >= 0:
                os.close(fd)
                setattr(self, name, -1)
        for name in self._names:
            try:
                os.unlink(self._path(name))
            except FileNotFoundError:
                pass
        try:
            os.rmdir(self.path)
        except FileNotFoundError:
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()
