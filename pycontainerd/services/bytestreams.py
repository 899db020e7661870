"""Plain file objects over client streams: what import reads its archive from and export writes it to.

Flow control is containerd's: the receiver grants a window with WindowUpdate, 64 KiB at first and again whenever less is
left; the sender puts at most 32 KiB, and never more than the window, into one Data. The sender ends by closing.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from pycontainerd.api.types.transfer.streaming_pb2 import Data, WindowUpdate
from pycontainerd.core.errors import Aborted, InvalidArgument
from pycontainerd.services.convert import type_name

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from pycontainerd.services.streaming import ClientStream

WINDOW = 64 << 10
"""Bytes granted at a time."""
CHUNK = 32 << 10
"""Most bytes in one Data message."""
IDLE = 600.0
"""Seconds without a message after which the other side is given up."""


class StreamReader(io.RawIOBase):
    """The bytes a client sends, as a readable file; wrap it in ``io.BufferedReader``."""

    def __init__(self, stream: ClientStream) -> None:
        self._stream = stream
        self._window = 0
        self._rest = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill the start of ``buffer``; 0 at the end. Raises Aborted (client gone), InvalidArgument (not Data)."""
        view = memoryview(buffer).cast("B")
        while not self._rest and not self._ended:
            self._fetch()
        count = min(len(view), len(self._rest))
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _fetch(self) -> None:
        if self._window < WINDOW:
            self._stream.send(WindowUpdate(update=WINDOW))
            self._window += WINDOW
        message = self._stream.receive(IDLE)
        if message is None:
            self._ended = True
            return
        if type_name(message) != Data.DESCRIPTOR.full_name:
            raise InvalidArgument("stream message", message.type_url, f"want {Data.DESCRIPTOR.full_name}")
        data = Data.FromString(message.value).data
        self._window -= len(data)
        self._rest = memoryview(data)


class StreamWriter(io.RawIOBase):
    """Bytes to a client, as a writable file. ``close`` ends the stream."""

    def __init__(self, stream: ClientStream) -> None:
        self._stream = stream
        self._window = 0

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, data: Buffer, /) -> int:
        """Send all of ``data``, waiting for room. Raises Aborted when the client is gone."""
        view = memoryview(data).cast("B")
        for start in range(0, len(view), CHUNK):
            self._send(view[start : start + CHUNK])
        return len(view)

    def close(self) -> None:
        """Tell the client that this was all."""
        if not self.closed:
            self._stream.close()
        super().close()

    def _send(self, piece: memoryview) -> None:
        while piece:
            while self._window <= 0:
                self._window += self._grant()
            count = min(len(piece), self._window)
            self._stream.send(Data(data=bytes(piece[:count])))
            self._window -= count
            piece = piece[count:]

    def _grant(self) -> int:
        message = self._stream.receive(IDLE)
        if message is None:
            raise Aborted("stream", self._stream.id, "the client stopped reading")
        if type_name(message) != WindowUpdate.DESCRIPTOR.full_name:
            raise InvalidArgument("stream message", message.type_url, f"want {WindowUpdate.DESCRIPTOR.full_name}")
        return int(WindowUpdate.FromString(message.value).update)
