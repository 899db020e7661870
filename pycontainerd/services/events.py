"""containerd.services.events.v1 for clients and containerd.services.events.ttrpc.v1 for shims."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.events.ttrpc.v1 import events_pb2 as ttrpc_pb
from pycontainerd.api.events.v1 import events_pb2 as pb
from pycontainerd.api.types.event_pb2 import Envelope as EnvelopeMessage
from pycontainerd.core.errors import ResourceExhausted
from pycontainerd.core.events import Envelope
from pycontainerd.core.values import EPOCH
from pycontainerd.rpc.service import Service
from pycontainerd.services.convert import from_any, now, optional_time, require, to_any, to_timestamp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pycontainerd.core.events import Exchange, Subscription
    from pycontainerd.rpc.call import Call

    Forward = Callable[[Envelope], None]

BACKLOG = 16384
"""Events a subscriber may lag behind before it is cut off; there is no replay, so it has to learn that it lost some."""


PATIENCE = 3.0
"""Seconds after which a new subscriber is told what it missed, if that is still so."""


class EventsService(Service):
    """The Events service; nothing here is namespaced but Publish.

    ``forward`` takes envelopes made elsewhere: the task manager looks at them first. ``missed`` knows what a subscriber
    who comes now should have heard while it was cut off, and what of that still matters when he is asked again; it is
    repeated after ``patience`` seconds. None of it blocks, all of it runs on the event loop.
    """

    SERVICE = pb.DESCRIPTOR.services_by_name["Events"]

    def __init__(
        self,
        exchange: Exchange,
        forward: Forward,
        backlog: int = BACKLOG,
        missed: Callable[[], list[Envelope]] = list,
        patience: float = PATIENCE,
    ) -> None:
        self._exchange, self._forward, self._backlog = exchange, forward, backlog
        self._missed, self._patience = missed, patience

    async def Publish(self, request: pb.PublishRequest, call: Call) -> Empty:
        """Stamp and send a client's event in its namespace."""
        namespace = call.namespace
        require(request, "event")
        envelope = Envelope(now(), namespace, request.topic, from_any(request.event))
        self._exchange.forward(envelope)
        return Empty()

    async def Forward(self, request: pb.ForwardRequest, call: Call) -> Empty:
        """Send an envelope made elsewhere."""
        require(request, "envelope")
        self._forward(_value(request.envelope))
        return Empty()

    async def Subscribe(self, request: pb.SubscribeRequest, call: Call) -> AsyncIterator[EnvelopeMessage]:
        """Every event from now on that matches, of all namespaces."""
        queue = Backlog(self._backlog)
        loop = asyncio.get_running_loop()

        def on_event(envelope: Envelope) -> None:
            loop.call_soon_threadsafe(queue.put, envelope)

        subscription = self._exchange.subscribe(tuple(request.filters), on_event)
        # Who starts anew subscribes too, and looks at all tasks next: it gets the time to, for it must not act twice.
        repeating = loop.call_later(self._patience, self._repeat, subscription, self._missed())
        try:
            await call.accept()
            while True:
                yield envelope_message(await queue.get())
        finally:
            repeating.cancel()
            subscription.close()

    def _repeat(self, subscription: Subscription, envelopes: list[Envelope]) -> None:
        standing = self._missed() if envelopes else ()
        for envelope in envelopes:
            if envelope in standing:
                subscription.repeat(envelope)


class Backlog:
    """What a subscriber has not read yet: bounded, so that one that stopped reading costs bounded memory."""

    def __init__(self, limit: int) -> None:
        self._queue: asyncio.Queue[Envelope] = asyncio.Queue()
        self._limit = limit
        self._overflown = False

    def put(self, envelope: Envelope) -> None:
        """Keep an event, unless some were lost already: what follows a gap is of no use."""
        self._overflown = self._overflown or self._queue.qsize() >= self._limit
        if not self._overflown:
            self._queue.put_nowait(envelope)

    async def get(self) -> Envelope:
        """The next event. Raises ResourceExhausted where events had to be dropped."""
        if self._overflown and self._queue.empty():
            raise ResourceExhausted(f"the subscriber lags more than {self._limit} events behind")
        return await self._queue.get()


class ShimEventsService(Service):
    """The Events service of the ttrpc socket: shims send their envelopes here, without a namespace header."""

    SERVICE = ttrpc_pb.DESCRIPTOR.services_by_name["Events"]

    def __init__(self, forward: Forward) -> None:
        self._forward = forward

    async def Forward(self, request: ttrpc_pb.ForwardRequest, call: Call) -> Empty:
        """Send a shim's envelope."""
        require(request, "envelope")
        self._forward(_value(request.envelope))
        return Empty()


def _value(message: EnvelopeMessage) -> Envelope:
    require(message, "event")
    return Envelope(
        optional_time(message, "timestamp") or EPOCH, message.namespace, message.topic, from_any(message.event)
    )


def envelope_message(value: Envelope) -> EnvelopeMessage:
    """An event as the API has it."""
    return EnvelopeMessage(
        timestamp=to_timestamp(value.timestamp),
        namespace=value.namespace,
        topic=value.topic,
        event=to_any(value.event),
    )
