"""Streams that go along with a transfer: a client opens them first and names them in the request.

Bytes flow under a window: the receiver says how much it can take (``WindowUpdate``), the sender sends ``Data`` of at
most 32 KiB and never more than that; the end is the closing of the stream.
"""

from __future__ import annotations

import os

from pycontainerd.core.errors import Cancelled, PycontainerdError, Unavailable
from pycontainerd.wire.messages.google import Any as AnyMessage
from pycontainerd.wire.messages.streaming import StreamInit
from pycontainerd.wire.messages.types_transfer import Data, WindowUpdate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol, Self

    from pycontainerd.client.daemon import Daemon
    from pycontainerd.wire.codec import Message

    class Readable(Protocol):
        """What ``send_all`` reads from."""

        def read(self, size: int, /) -> bytes: ...

    class Writable(Protocol):
        """What ``receive_all`` writes to."""

        def write(self, data: bytes, /) -> int | None: ...


SERVICE = "containerd.services.streaming.v1.Streaming"
WINDOW = 64 << 10
CHUNK = 32 << 10


class Stream:
    """One open stream; ``id`` is what a request names it by."""

    def __init__(self, daemon: Daemon, purpose: str) -> None:
        self.id = f"{purpose}-{os.urandom(8).hex()}"
        self._messages = daemon.open_stream(SERVICE, "Stream", AnyMessage)
        self.send(StreamInit(id=self.id))
        if self._messages.recv() is None:  # the server's word that it knows the stream
            raise Unavailable("the daemon closed a stream that was just opened")

    def send(self, message: Message) -> None:
        """Send one message."""
        self._messages.send(AnyMessage(type_url=message.TYPE, value=message.encode()))

    def receive(self) -> AnyMessage | None:
        """The next message, None at the end."""
        return self._messages.recv()

    def __iter__(self) -> Iterator[AnyMessage]:
        return iter(self._messages)

    def close_send(self) -> None:
        """Nothing more follows from us."""
        self._messages.close_send()

    def close(self) -> None:
        """End it; can be done twice."""
        self._messages.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def send_all(stream: Stream, source: Readable) -> int:
    """Send a file's bytes as the receiver's window allows; return how many. Ends early when the receiver does."""
    window = sent = 0
    while data := source.read(CHUNK):
        while data:
            while window <= 0:
                message = stream.receive()
                if message is None:
                    return sent
                window += WindowUpdate.decode(message.value).update
            part, data = data[:window], data[window:]
            stream.send(Data(data=part))
            window -= len(part)
            sent += len(part)
    stream.close_send()
    return sent


def receive_all(stream: Stream, target: Writable) -> int:
    """Write what arrives into a file until the stream ends; return how much it was. Raises what ends it in between."""
    window = received = 0
    while True:
        if window < WINDOW:
            try:
                stream.send(WindowUpdate(update=WINDOW))
            except PycontainerdError:  # the sender is through and has closed; what it sent is still to be read
                pass
            window += WINDOW
        try:
            message = stream.receive()
        except (Cancelled, Unavailable):
            return received
        if message is None:
            return received
        data = Data.decode(message.value).data
        target.write(data)
        window -= len(data)
        received += len(data)
