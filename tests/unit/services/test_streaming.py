from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING

import pytest
from google.protobuf.any_pb2 import Any

from pycontainerd.api.streaming.v1 import streaming_pb2 as pb
from pycontainerd.api.types.transfer.streaming_pb2 import Data, WindowUpdate
from pycontainerd.core.errors import Aborted, InvalidArgument, NotFound, Unknown
from pycontainerd.rpc.call import Call
from pycontainerd.services.bytestreams import CHUNK, WINDOW, StreamReader, StreamWriter
from pycontainerd.services.convert import pack
from pycontainerd.services.streaming import BACKLOG, ClientStream, StreamingService, StreamRegistry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.asyncio
CALL = Call("/m", {"containerd-namespace": "n"})


class Client:
    """The client's end of a stream, with no transport in between."""

    def __init__(self, registry: StreamRegistry, id: str = "s") -> None:
        self.registry, self.id = registry, id
        self._queue: asyncio.Queue[Any | None] = asyncio.Queue()
        self._answers = StreamingService(registry).Stream(self._requests(), CALL)

    async def _requests(self) -> AsyncIterator[Any]:
        while (message := await self._queue.get()) is not None:
            yield message

    def send(self, message: Any) -> None:
        self._queue.put_nowait(message)

    def half_close(self) -> None:
        self._queue.put_nowait(None)

    async def receive(self) -> Any | None:
        async with asyncio.timeout(5):
            return await anext(aiter(self._answers), None)

    async def leave(self) -> None:
        await self._answers.aclose()  # type: ignore[attr-defined]

    async def open(self) -> ClientStream:
        self.send(pack(pb.StreamInit(id=self.id)))
        answer = await self.receive()
        assert answer is not None
        assert answer.type_url == "google.protobuf.Empty"
        return self.registry.get("n", self.id)


async def test_a_stream_is_registered_acknowledged_used_and_forgotten() -> None:
    client = Client(StreamRegistry())
    stream = await client.open()
    await asyncio.to_thread(lambda: None)
    waiting = asyncio.create_task(asyncio.to_thread(stream.send, WindowUpdate(update=7)))
    answer = await client.receive()
    assert answer is not None
    assert WindowUpdate.FromString(answer.value).update == 7
    stream.close()
    assert await client.receive() is None
    await waiting
    with pytest.raises(NotFound):
        client.registry.get("n", "s")


async def test_ids_are_taken_once_a_namespace() -> None:
    registry = StreamRegistry()
    first = Client(registry)
    await first.open()
    second = Client(registry)
    second.send(pack(pb.StreamInit(id="s")))
    with pytest.raises(Unknown, match="already exists"):
        await second.receive()
    await first.leave()
    assert len(registry) == 0


@pytest.mark.parametrize(
    "first", [Any(), Any(type_url="type.googleapis.com/containerd.services.streaming.v1.StreamInit")]
)
async def test_the_first_message_must_be_exactly_a_stream_init(first: Any) -> None:
    client = Client(StreamRegistry())
    client.send(first)
    with pytest.raises(Unknown):
        await client.receive()


async def test_a_half_close_is_an_end_and_a_lost_client_is_not() -> None:
    client = Client(StreamRegistry())
    stream = await client.open()
    client.half_close()
    assert await asyncio.to_thread(stream.receive, 5) is None
    assert await asyncio.to_thread(stream.receive, 5) is None

    other = Client(client.registry, "other")
    lost = await other.open()
    reading = asyncio.create_task(asyncio.to_thread(lost.receive, 5))
    await asyncio.sleep(0.05)
    pending = asyncio.create_task(other.receive())
    await asyncio.sleep(0.05)
    pending.cancel()
    await asyncio.wait([pending])
    with pytest.raises(Aborted, match="went away"):
        await reading
    with pytest.raises(Aborted):
        await asyncio.to_thread(lost.send, WindowUpdate())


async def test_aborting_wakes_the_user() -> None:
    stream = await Client(StreamRegistry()).open()
    reading = asyncio.create_task(asyncio.to_thread(stream.receive, 5))
    await asyncio.sleep(0.05)
    stream.abort()
    with pytest.raises(Aborted):
        await reading


async def test_a_client_does_not_run_far_ahead_of_its_user() -> None:
    client = Client(StreamRegistry())
    stream = await client.open()
    for _ in range(BACKLOG * 2):
        client.send(Any(value=b"x"))
    await asyncio.sleep(0.1)
    assert stream._inbox.qsize() == BACKLOG
    for _ in range(BACKLOG * 2):
        assert await asyncio.to_thread(stream.receive, 5) is not None


async def test_bytes_from_a_client_obey_the_window() -> None:
    client = Client(StreamRegistry())
    stream = await client.open()
    payload = bytes(range(256)) * 4096

    async def sender() -> None:
        window, position = 0, 0
        while position < len(payload):
            while window <= 0:
                answer = await client.receive()
                assert answer is not None
                window += WindowUpdate.FromString(answer.value).update
                assert window <= 2 * WINDOW
            piece = payload[position : position + min(CHUNK, window)]
            client.send(pack(Data(data=piece)))
            window -= len(piece)
            position += len(piece)
        client.half_close()
        while await client.receive() is not None:
            pass

    sending = asyncio.create_task(sender())
    reader = io.BufferedReader(StreamReader(stream), 100_000)
    assert await asyncio.to_thread(reader.read) == payload
    stream.close()
    await sending


async def test_bytes_to_a_client_wait_for_its_window_and_end_by_closing() -> None:
    client = Client(StreamRegistry())
    stream = await client.open()
    payload = bytes(range(256)) * 1000

    def write() -> None:
        with StreamWriter(stream) as writer:
            assert writer.write(payload) == len(payload)

    writing = asyncio.create_task(asyncio.to_thread(write))
    await asyncio.sleep(0.05)
    client.send(pack(WindowUpdate(update=1000)))
    got = b""
    while (answer := await client.receive()) is not None:
        data = Data.FromString(answer.value).data
        assert len(data) <= CHUNK
        got += data
        if len(got) % 1000 == 0 or len(got) == len(payload):
            client.send(pack(WindowUpdate(update=50_000)))
    await writing
    assert got == payload


async def test_foreign_messages_in_byte_streams_are_refused() -> None:
    for use in (lambda s: StreamReader(s).read(1), lambda s: StreamWriter(s).write(b"x")):
        client = Client(StreamRegistry())
        stream = await client.open()
        draining = asyncio.create_task(_drain(client))
        client.send(Any(type_url="no.Such"))
        await _refused(use, stream)
        draining.cancel()


async def _refused(use: Callable[[ClientStream], object], stream: ClientStream) -> None:
    with pytest.raises(InvalidArgument, match=r"no\.Such"):
        await asyncio.to_thread(use, stream)


async def _drain(client: Client) -> None:
    while await client.receive() is not None:
        pass
