"""containerd.services.streaming.v1: named two-way streams of Anys, opened by a client and used by another call.

A stream lives in a registry under (namespace, id) from the client's StreamInit until its user closes it or the client
goes. The user works in threads (an import reads its archive from one), so ``ClientStream`` is synchronous on that side
and bridges to the event loop that serves the RPC.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING

from google.protobuf.any_pb2 import Any

from pycontainerd.api.streaming.v1 import streaming_pb2 as pb
from pycontainerd.core.errors import Aborted, NotFound, Unknown
from pycontainerd.rpc.service import Service
from pycontainerd.services.convert import pack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from google.protobuf.message import Message

    from pycontainerd.rpc.call import Call

BACKLOG = 256
"""Messages from the client that may wait for the stream's user; then the client's sending is held back."""
SEND_TIMEOUT = 300.0
"""Seconds a user waits for a client that does not read."""

_END = None


class ClientStream:
    """The daemon's end of one stream; every method may be called from any thread."""

    def __init__(self, id: str, loop: asyncio.AbstractEventLoop) -> None:
        self.id = id
        self._loop = loop
        self._inbox: queue.Queue[Any | None] = queue.Queue()
        self._outbox: asyncio.Queue[tuple[Any, Future[None]] | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(BACKLOG)
        self._gone = threading.Event()
        self._cut = False

    # -- the user's side: threads --

    def send(self, message: Message) -> None:
        """Send a message and wait until it is written. Raises Aborted when the stream is over."""
        if self._gone.is_set():
            raise Aborted("stream", self.id, "the client is gone")
        sent: Future[None] = Future()
        self._loop.call_soon_threadsafe(self._outbox.put_nowait, (pack(message), sent))
        try:
            sent.result(SEND_TIMEOUT)
        except (CancelledError, TimeoutError) as error:
            raise Aborted("stream", self.id, "the client does not read") from error

    def post(self, message: Message) -> None:
        """Send without waiting, for what may be lost (progress)."""
        if not self._gone.is_set():
            self._loop.call_soon_threadsafe(self._outbox.put_nowait, (pack(message), Future()))

    def receive(self, timeout: float | None = None) -> Any | None:
        """The client's next message; None when it has sent all.

        Raises Aborted when the client went away, or after ``timeout`` seconds without a message.
        """
        try:
            message = self._inbox.get(timeout=timeout)
        except queue.Empty as error:
            raise Aborted("stream", self.id, f"nothing came for {timeout:g} s") from error
        if message is _END:
            self._inbox.put(_END)
            if self._cut:
                raise Aborted("stream", self.id, "the client went away")
            return None
        self._loop.call_soon_threadsafe(self._room.release)
        return message

    def close(self) -> None:
        """End the stream: what was sent before is delivered, then the client's call returns."""
        self._loop.call_soon_threadsafe(self._outbox.put_nowait, _END)

    def abort(self) -> None:
        """Make every present and later ``receive`` and ``send`` raise Aborted: the stream's purpose is gone."""
        self._cut = True
        self._gone.set()
        self._inbox.put(_END)
        self._loop.call_soon_threadsafe(self._discard)

    # -- the RPC's side: the event loop --

    async def pump(self, requests: AsyncIterator[Any]) -> None:
        """Move the client's messages to the inbox until it half-closes; never lets it run far ahead of the user."""
        try:
            async for request in requests:
                await self._room.acquire()
                self._inbox.put(request)
        except BaseException:
            # A half-close is the end of the data; anything else must not look like one.
            self._cut = True
            raise
        finally:
            self._inbox.put(_END)

    async def outgoing(self) -> AsyncIterator[Any]:
        """What the user sends, until it closes the stream."""
        try:
            while (entry := await self._outbox.get()) is not _END:
                message, sent = entry
                yield message
                if not sent.done():
                    sent.set_result(None)
        finally:
            self._drop()

    def _drop(self) -> None:
        self._gone.set()
        self._discard()

    def _discard(self) -> None:
        while not self._outbox.empty():
            entry = self._outbox.get_nowait()
            if entry is not _END:
                entry[1].cancel()


class StreamRegistry:
    """Open streams by namespace and id."""

    def __init__(self) -> None:
        self._streams: dict[tuple[str, str], ClientStream] = {}
        self._lock = threading.Lock()

    def add(self, namespace: str, stream: ClientStream) -> None:
        """Register a stream. Raises Unknown when the id is taken: the contract leaves this error unmapped."""
        with self._lock:
            if (namespace, stream.id) in self._streams:
                raise Unknown("stream", stream.id, "already exists")
            self._streams[namespace, stream.id] = stream

    def remove(self, namespace: str, stream: ClientStream) -> None:
        """Forget a stream."""
        with self._lock:
            if self._streams.get((namespace, stream.id)) is stream:
                del self._streams[namespace, stream.id]

    def get(self, namespace: str, id: str) -> ClientStream:
        """A registered stream. Raises NotFound."""
        with self._lock:
            stream = self._streams.get((namespace, id))
        if stream is None:
            raise NotFound("stream", id, "open it with Streaming.Stream first")
        return stream

    def __len__(self) -> int:
        return len(self._streams)


class StreamingService(Service):
    """The Streaming service."""

    SERVICE = pb.DESCRIPTOR.services_by_name["Streaming"]

    def __init__(self, registry: StreamRegistry) -> None:
        self._registry = registry

    async def Stream(self, requests: AsyncIterator[Any], call: Call) -> AsyncIterator[Any]:
        """Register the stream that the first message names, acknowledge it with an Empty, then pass messages."""
        namespace = call.namespace
        stream = ClientStream(await _first_id(requests), asyncio.get_running_loop())
        self._registry.add(namespace, stream)
        pump = asyncio.create_task(stream.pump(requests))
        try:
            yield Any(type_url="google.protobuf.Empty")
            async for message in stream.outgoing():
                yield message
        finally:
            self._registry.remove(namespace, stream)
            pump.cancel()


async def _first_id(requests: AsyncIterator[Any]) -> str:
    first = await anext(aiter(requests), None)
    if first is None:
        raise Unknown("the stream ended before its StreamInit")
    # Exactly this spelling: peers refuse one with a prefix, and a client that works here must work there.
    if first.type_url != pb.StreamInit.DESCRIPTOR.full_name:
        raise Unknown("first message of the stream", first.type_url, f"want {pb.StreamInit.DESCRIPTOR.full_name}")
    return str(pb.StreamInit.FromString(first.value).id)
