"""ttrpc frames: bytes to frames and back, no I/O.

A frame is a header of 10 bytes (payload length and stream id as big-endian 32-bit numbers, type, flags) and a payload
of at most 4 MiB. There is no handshake, no ping and no flow control. Streams opened by a client have odd ids that only
grow; unknown frame types are skipped, so that peers may learn new ones.
"""

from __future__ import annotations

from struct import Struct

REQUEST, RESPONSE, DATA = 1, 2, 3  # frame types
REMOTE_CLOSED, REMOTE_OPEN, NO_DATA = 1, 2, 4  # flags

HEADER_SIZE = 10
MAX_PAYLOAD = 4 << 20
MAX_STREAM_ID = 0xFFFFFFFF

NAMESPACE_HEADER = "containerd-namespace-ttrpc"
LEASE_HEADER = "containerd-lease"
TRACE_HEADER = "traceparent"

_HEADER = Struct(">IIBB")


class Frame:
    """One frame; `payload` is None if it was longer than allowed and has been thrown away (`length` tells)."""

    __slots__ = ("flags", "kind", "length", "payload", "stream_id")

    def __init__(self, stream_id: int, kind: int, flags: int, length: int, payload: bytes | None) -> None:
        self.stream_id = stream_id
        self.kind = kind
        self.flags = flags
        self.length = length
        self.payload = payload

    def __repr__(self) -> str:
        return f"Frame(stream_id={self.stream_id}, kind={self.kind}, flags={self.flags}, length={self.length})"


def header(stream_id: int, kind: int, flags: int, length: int) -> bytes:
    """The header of a frame."""
    return _HEADER.pack(length, stream_id, kind, flags)


def oversized(length: int) -> str:
    """The text for a message that does not fit in a frame, as Go peers word it."""
    return f"message length {length} exceeds the maximum message size of {MAX_PAYLOAD}"


class FrameReader:
    """Cuts a byte stream into frames, holding at most one unfinished frame."""

    __slots__ = ("_buffer", "_skip")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skip = 0  # bytes of an oversized payload that are still to come

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete with these bytes, in order."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        buffer = self._buffer
        buffer += data
        frames: list[Frame] = []
        pos, size = 0, len(buffer)
        while size - pos >= HEADER_SIZE:
            length, stream_id, kind, flags = _HEADER.unpack_from(buffer, pos)
            start = pos + HEADER_SIZE
            if length > MAX_PAYLOAD:
                # Answered at once, so that the sender need not finish first.
                frames.append(Frame(stream_id, kind, flags, length, None))
                pos = min(start + length, size)
                self._skip = start + length - pos
                continue
            if size - start < length:
                break
            pos = start + length
            frames.append(Frame(stream_id, kind, flags, length, bytes(memoryview(buffer)[start:pos])))
        if pos:
            del buffer[:pos]
        return frames

    @property
    def idle(self) -> bool:
        """Whether the stream could end here without cutting a frame."""
        return not self._buffer and not self._skip
