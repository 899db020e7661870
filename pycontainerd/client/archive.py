"""Files of containers seen from outside: looked at, fetched and put by the Archive service, as tar streams."""

from __future__ import annotations

from pycontainerd.core.errors import PycontainerdError
from pycontainerd.wire.messages import archive as messages
from pycontainerd.wire.messages.google import Empty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Self

    from pycontainerd.client.daemon import Daemon

SERVICE = "pycontainerd.archive.v1.Archive"
CHUNK = 1 << 18
KINDS = "CAD"
"""Letters of ``changes``, by the number of the kind."""


def stat(daemon: Daemon, id: str, path: bytes, *, follow: bool = False) -> messages.StatResponse:
    """Look at one path of a container. Raises NotFound."""
    request = messages.StatRequest(container=id, path=path, follow=follow)
    return daemon.call(SERVICE, "Stat", request, messages.StatResponse)


def get(daemon: Daemon, id: str, path: bytes, *, follow: bool = False) -> Iterator[bytes]:
    """The pieces of a tar of the path. Raises NotFound."""
    request = messages.GetRequest(container=id, path=path, follow=follow)
    with daemon.stream(SERVICE, "Get", request, messages.GetResponse) as answers:
        for answer in answers:
            yield answer.data


def export(daemon: Daemon, id: str) -> Iterator[bytes]:
    """The pieces of a tar of the root filesystem."""
    request = messages.ExportRequest(container=id)
    with daemon.stream(SERVICE, "Export", request, messages.ExportResponse) as answers:
        for answer in answers:
            yield answer.data


def changes(daemon: Daemon, id: str) -> Iterator[tuple[str, bytes]]:
    """What the container changed, as (letter, path): C, A or D as Docker has them."""
    request = messages.ChangesRequest(container=id)
    with daemon.stream(SERVICE, "Changes", request, messages.ChangesResponse) as answers:
        for answer in answers:
            for change in answer.changes:
                yield KINDS[change.kind], change.path


class Putting:
    """A file to write a tar into that is unpacked in a container's directory; leaving the block waits for the end.

    Raises what the daemon says: NotFound for the directory, InvalidArgument for what is no tar.
    """

    def __init__(self, daemon: Daemon, id: str, path: bytes) -> None:
        self._messages = daemon.open_stream(SERVICE, "Put", Empty)
        self._first: dict[str, Any] = {"container": id, "path": path}
        self._buffer = bytearray()
        self.written = 0

    def write(self, data: bytes) -> int:
        """Take bytes of the archive."""
        self._buffer += data
        self.written += len(data)
        while len(self._buffer) >= CHUNK:
            self._send(bytes(self._buffer[:CHUNK]))
            del self._buffer[:CHUNK]
        return len(data)

    def _send(self, data: bytes) -> None:
        try:
            self._messages.send(messages.PutRequest(data=data, **self._first))
        except PycontainerdError:
            self._messages.recv()  # raises why the other side did not want more
            raise
        self._first = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_rest: object) -> None:
        try:
            if kind is None:
                self._send(bytes(self._buffer))
                self._messages.close_send()
                self._messages.recv()
        finally:
            self._messages.close()
