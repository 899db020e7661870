"""The event exchange."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from pycontainerd.core.errors import InvalidArgument, ResourceExhausted, Unknown
from pycontainerd.core.events import Envelope
from pycontainerd.core.values import AnyValue
from pycontainerd.stores.events import Exchange, Subscription
from pycontainerd.wire.messages.events_container import ContainerCreate, ContainerUpdate
from pycontainerd.wire.messages.events_task import TaskCreate, TaskExit, TaskIO

if TYPE_CHECKING:
    from collections.abc import Iterator

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    made = Exchange()
    yield made
    made.close()


def waiting(subscription: Subscription) -> list[str]:
    found = []
    while (envelope := subscription.get(0)) is not None:
        found.append(envelope.topic)
    return found


def exit_of(container: str) -> TaskExit:
    return TaskExit(container_id=container, id=container, pid=7, exit_status=1)


def test_every_subscriber_gets_every_namespace_in_order(exchange: Exchange) -> None:
    first, second = exchange.subscribe([]), exchange.subscribe([])
    for number in range(3):
        exchange.publish(f"n{number}", f"/tasks/t{number}", exit_of("c"))
    assert waiting(first) == waiting(second) == ["/tasks/t0", "/tasks/t1", "/tasks/t2"]


def test_the_type_url_has_no_prefix(exchange: Exchange) -> None:
    subscription = exchange.subscribe([])
    exchange.publish("n", "/tasks/exit", exit_of("c"))
    envelope = subscription.get(1)
    assert envelope is not None
    assert envelope.event.type_url == "containerd.events.TaskExit"
    assert TaskExit.decode(envelope.event.value) == exit_of("c")
    assert abs(envelope.timestamp.timestamp() - time.time()) < 5


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ("namespace==moby,topic~=|^/tasks/|", ["/tasks/exit", "/tasks/create"]),
        ("event.container_id==web", ["/tasks/exit"]),
        ('event.io.stdout=="/fifo"', ["/tasks/create"]),
        ("event.labels.com.example/x==y", None),
        ('event.labels."com.example/x"==y', ["/containers/update"]),
        ("event.runtime.name==runc", ["/containers/create"]),
        ("event.pid==7", []),
        ("event.pid", []),
        ("event.nothing", []),
        ("event.__class__", []),
        ("event", []),
        ("event.container_id!=web", ["/tasks/create", "/containers/update", "/containers/create", "/odd"]),
    ],
)
def test_filters_see_the_envelope_and_into_the_payload(
    exchange: Exchange, filter: str, expected: list[str] | None
) -> None:
    if expected is None:
        with pytest.raises(Unknown, match="filter"):
            exchange.subscribe([filter])
        return
    subscription = exchange.subscribe([filter])
    exchange.publish("moby", "/tasks/exit", exit_of("web"))
    exchange.publish("moby", "/tasks/create", TaskCreate(container_id="db", io=TaskIO(stdout="/fifo")))
    exchange.publish("k8s.io", "/containers/update", ContainerUpdate(id="c", labels={"com.example/x": "y"}))
    exchange.publish("k8s.io", "/containers/create", ContainerCreate(runtime=ContainerCreate.Runtime(name="runc")))
    exchange.forward(Envelope(WHEN, "n", "/odd", AnyValue("no.such.Type", b"\xff")))
    assert waiting(subscription) == expected


def test_forward_keeps_the_envelope_and_validates_it(exchange: Exchange) -> None:
    subscription = exchange.subscribe([])
    envelope = Envelope(WHEN, "n", "/tasks/exit", AnyValue("type.googleapis.com/containerd.events.TaskExit", b""))
    exchange.forward(envelope)
    assert subscription.get(1) == envelope
    for bad in (
        Envelope(WHEN, "", "/tasks/exit", AnyValue()),
        Envelope(WHEN, "a/b", "/tasks/exit", AnyValue()),
        Envelope(WHEN, "n", "tasks", AnyValue()),
        Envelope(WHEN, "n", "/", AnyValue()),
        Envelope(WHEN, "n", "/a//b", AnyValue()),
        Envelope(WHEN, "n", "", AnyValue()),
    ):
        with pytest.raises(InvalidArgument):
            exchange.forward(bad)


def test_a_callback_gets_events_at_once_and_a_failing_one_is_dropped(exchange: Exchange) -> None:
    heard: list[Envelope] = []
    calls: list[int] = []

    def failing(_: Envelope) -> None:
        calls.append(1)
        raise RuntimeError("subscriber bug")

    exchange.subscribe([], failing)
    exchange.subscribe([], heard.append)
    for _ in range(2):
        exchange.publish("n", "/tasks/exit", exit_of("c"))
    assert len(heard) == 2
    assert calls == [1]


def test_a_slow_reader_is_cut_off_and_told_after_what_it_has() -> None:
    exchange = Exchange(limit=3)
    slow, quick = exchange.subscribe([]), exchange.subscribe([])
    for number in range(5):
        exchange.publish("n", f"/t{number}", exit_of("c"))
        assert quick.get(1) is not None
    got = [slow.get(0) for _ in range(3)]
    assert [envelope.topic for envelope in got if envelope] == ["/t0", "/t1", "/t2"]
    with pytest.raises(ResourceExhausted, match="subscribe again"):
        slow.get(0)
    exchange.close()


def test_close_wakes_the_reader(exchange: Exchange) -> None:
    subscription = exchange.subscribe([])
    ended = threading.Event()

    def read() -> None:
        for _ in subscription:
            pass
        ended.set()

    thread = threading.Thread(target=read)
    thread.start()
    subscription.close()
    assert ended.wait(5)
    thread.join()
    exchange.publish("n", "/tasks/exit", exit_of("c"))
    assert exchange._subscriptions == []


def test_publish_never_raises(exchange: Exchange) -> None:
    broken = exit_of("c")
    broken.pid = "not a number"  # type: ignore[assignment]
    exchange.publish("n", "/tasks/exit", broken)
