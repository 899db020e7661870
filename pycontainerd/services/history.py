"""pycontainerd.events.v1: the events of the last day (our own)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.history.v1 import history_pb2 as pb
from pycontainerd.core import happenings
from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.events import validate_topic
from pycontainerd.rpc.offload import offload
from pycontainerd.rpc.service import Service
from pycontainerd.services.convert import now, optional_time
from pycontainerd.services.events import BACKLOG, Backlog, envelope_message
from pycontainerd.wire.messages.history import Happened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from datetime import datetime

    from pycontainerd.api.types.event_pb2 import Envelope as EnvelopeMessage
    from pycontainerd.core.events import Envelope
    from pycontainerd.rpc.call import Call


_TYPES = ", ".join(happenings.TYPES)


class Reading(Protocol):
    """What a reader has still to get."""

    def batch(self) -> Sequence[Envelope]: ...

    def close(self) -> None: ...


class Journal(Protocol):
    """``pycontainerd.stores.journal.Journal``."""

    def tell(self, namespace: str, message: Happened) -> None: ...

    def read(
        self,
        since: datetime | None = None,
        filters: Sequence[str] = (),
        follower: Callable[[Envelope], None] | None = None,
    ) -> Reading: ...


class HistoryService(Service):
    """The History service. Not namespaced, as Subscribe is not."""

    SERVICE = pb.DESCRIPTOR.services_by_name["History"]

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def Tell(self, request: pb.Happened, call: Call) -> Empty:
        """Keep what a client did."""
        message = Happened.decode(request.SerializeToString())
        if message.type not in happenings.TYPES or not message.action:
            raise InvalidArgument("event", f"{message.type} {message.action}", f"its type is one of {_TYPES}")
        validate_topic(happenings.topic_of(message))
        await offload(self._journal.tell, call.namespace, message)
        return Empty()

    async def Read(self, request: pb.ReadHistoryRequest, call: Call) -> AsyncIterator[EnvelopeMessage]:
        """What was kept, and then what comes."""
        since, until = optional_time(request, "since"), optional_time(request, "until")
        follow = request.follow and (until is None or until > now())
        queue, loop = Backlog(BACKLOG), asyncio.get_running_loop()

        def on_event(envelope: Envelope) -> None:
            loop.call_soon_threadsafe(queue.put, envelope)

        reading = self._journal.read(since, tuple(request.filters), on_event if follow else None)
        try:
            await call.accept()
            while batch := await offload(reading.batch):
                for envelope in batch:
                    if until is None or envelope.timestamp <= until:
                        yield envelope_message(envelope)
            while follow and (further := await _next(queue, until)) is not None:
                yield envelope_message(further)
        finally:
            reading.close()


async def _next(queue: Backlog, until: datetime | None) -> Envelope | None:
    """The next event, None when it is too late for one."""
    try:
        async with asyncio.timeout(None if until is None else max((until - now()).total_seconds(), 0.0)):
            return await queue.get()
    except TimeoutError:
        return None
