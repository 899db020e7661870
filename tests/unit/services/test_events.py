from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any as Any_

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.timestamp_pb2 import Timestamp

from pycontainerd.api.events.v1 import events_pb2 as pb
from pycontainerd.api.types.event_pb2 import Envelope as EnvelopeMessage
from pycontainerd.core.errors import FailedPrecondition, InvalidArgument, ResourceExhausted, Unknown
from pycontainerd.core.events import Envelope
from pycontainerd.core.values import EPOCH, AnyValue
from pycontainerd.rpc.call import Call
from pycontainerd.services.events import EventsService
from pycontainerd.stores.events import Exchange

pytestmark = pytest.mark.asyncio
CALL = Call("/m", {"containerd-namespace": "n"})
EVENT = Any(type_url="x.Y", value=b"v")


def service(backlog: int = 100) -> EventsService:
    exchange = Exchange()
    return EventsService(exchange, exchange.forward, backlog)


async def test_published_events_reach_subscribers_of_every_namespace() -> None:
    events = service()
    async with aclosing(events.Subscribe(pb.SubscribeRequest(), Call("/m", {}))) as stream:  # type: ignore[type-var]
        waiting: Any_ = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        await events.Publish(pb.PublishRequest(topic="/a/b", event=EVENT), CALL)
        got = await asyncio.wait_for(waiting, 5)
    assert (got.namespace, got.topic, got.event) == ("n", "/a/b", EVENT)
    assert got.timestamp.seconds > 1_600_000_000


async def test_publishing_needs_a_namespace_and_a_proper_topic() -> None:
    events = service()
    with pytest.raises(FailedPrecondition):
        await events.Publish(pb.PublishRequest(topic="/a", event=EVENT), Call("/m", {}))
    with pytest.raises(InvalidArgument):
        await events.Publish(pb.PublishRequest(topic="a", event=EVENT), CALL)
    with pytest.raises(InvalidArgument):
        await events.Publish(pb.PublishRequest(topic="/a"), CALL)


async def test_a_forwarded_envelope_without_a_time_is_of_the_epoch() -> None:
    seen: list[Envelope] = []
    events = EventsService(Exchange(), seen.append)
    await events.Forward(pb.ForwardRequest(envelope=EnvelopeMessage(namespace="n", topic="/t", event=EVENT)), CALL)
    stamped = EnvelopeMessage(namespace="n", topic="/t", event=EVENT, timestamp=Timestamp(seconds=5))
    await events.Forward(pb.ForwardRequest(envelope=stamped), CALL)
    assert seen[0].timestamp == EPOCH
    assert seen[1].timestamp.timestamp() == 5
    for broken in (pb.ForwardRequest(), pb.ForwardRequest(envelope=EnvelopeMessage(namespace="n", topic="/t"))):
        with pytest.raises(InvalidArgument):
            await events.Forward(broken, CALL)


async def test_a_bad_filter_is_an_unmapped_error() -> None:
    stream = service().Subscribe(pb.SubscribeRequest(filters=["==="]), CALL)
    with pytest.raises(Unknown):
        await anext(aiter(stream))


async def test_a_subscriber_that_lags_gets_what_was_kept_and_then_an_error() -> None:
    events = service(backlog=3)
    stream = aiter(events.Subscribe(pb.SubscribeRequest(), CALL))
    waiting: Any_ = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    for number in range(10):
        await events.Publish(pb.PublishRequest(topic=f"/t/{number}", event=EVENT), CALL)
    await asyncio.sleep(0)
    topics = [(await waiting).topic] + [(await anext(stream)).topic for _ in range(2)]
    assert topics == ["/t/0", "/t/1", "/t/2"]
    with pytest.raises(ResourceExhausted):
        await anext(stream)


async def test_who_comes_back_late_hears_of_what_it_missed_unless_it_was_seen_to_meanwhile() -> None:
    exchange = Exchange()
    early = Envelope(EPOCH, "n", "/tasks/exit", AnyValue("x.Y", b"1"))
    other = Envelope(EPOCH, "n", "/tasks/delete", AnyValue("x.Y", b"2"))
    seen_to = Envelope(EPOCH, "n", "/tasks/exit", AnyValue("x.Y", b"3"))
    missed = [early, seen_to, other]
    events = EventsService(exchange, exchange.forward, missed=lambda: list(missed), patience=0.2)
    request = pb.SubscribeRequest(filters=['topic=="/tasks/exit"'])
    async with aclosing(events.Subscribe(request, Call("/m", {}))) as stream:  # type: ignore[type-var]
        waiting: Any_ = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        missed[1:2] = [Envelope(EPOCH, "n", "/tasks/exit", AnyValue("x.Y", b"later"))]
        got = [await asyncio.wait_for(waiting, 5)]
        await events.Publish(pb.PublishRequest(topic="/tasks/exit", event=EVENT), CALL)
        got.append(await asyncio.wait_for(anext(stream), 5))
    assert [item.event.value for item in got] == [b"1", b"v"]
