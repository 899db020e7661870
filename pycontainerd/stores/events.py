"""The event exchange: every envelope to every subscriber whose filters it passes, in one order, with no replay.

A subscriber that reads too slowly is cut off: when ``QUEUE`` envelopes wait for it, its subscription ends with
ResourceExhausted after it has got those. A gap it cannot see would be worse; it subscribes again and lists. Publishers
never wait.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

import structlog

from pycontainerd.core.errors import ResourceExhausted, Unknown
from pycontainerd.core.events import Envelope, validate_topic
from pycontainerd.core.filters import ABSENT, text_field
from pycontainerd.core.filters import compile as compile_filters
from pycontainerd.core.identifiers import validate_identifier
from pycontainerd.core.values import AnyValue
from pycontainerd.stores.columns import now
from pycontainerd.wire.codec import DecodeError, Message
from pycontainerd.wire.registry import message_class

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pycontainerd.core.events import EventMessage
    from pycontainerd.core.filters import Adaptor, Matcher

_log = structlog.get_logger(__name__)
QUEUE = 16384
"""Envelopes that may wait for one subscriber."""


class Subscription:
    """``core.events.Subscription``; made by ``Exchange.subscribe``. For one reader; ``close`` from any thread."""

    def __init__(self, matches: Matcher, on_event: Callable[[Envelope], None] | None, limit: int) -> None:
        self._matches, self._on_event, self._limit = matches, on_event, limit
        self._ready = threading.Condition()
        self._queue: deque[Envelope] = deque()
        self._closed = False
        self._overrun = False

    def offer(self, envelope: Envelope, adaptor: Adaptor) -> bool:
        """Queue an envelope that passes the filters; return whether the subscription is still open."""
        if not self._closed and self._matches(adaptor):
            if self._on_event is not None:
                self._on_event(envelope)
            else:
                self._enqueue(envelope)
        return not self._closed

    def repeat(self, envelope: Envelope) -> None:
        """Hand an envelope to this subscriber alone, if it passes the filters."""
        self.offer(envelope, envelope_adaptor(envelope))

    def _enqueue(self, envelope: Envelope) -> None:
        with self._ready:
            if len(self._queue) >= self._limit:
                self._overrun = self._closed = True
            else:
                self._queue.append(envelope)
            self._ready.notify()

    def get(self, timeout: float | None = None) -> Envelope | None:
        """The next envelope; None when the timeout (seconds) passed or the subscription is closed.

        Raises ResourceExhausted when events were lost because this reader was too slow.
        """
        with self._ready:
            self._ready.wait_for(lambda: self._queue or self._closed, timeout)
            if self._queue:
                return self._queue.popleft()
            if self._overrun:
                raise ResourceExhausted(
                    "event subscription", "", f"{self._limit} events waited unread: subscribe again and list anew"
                )
            return None

    def __iter__(self) -> Iterator[Envelope]:
        while (envelope := self.get()) is not None:
            yield envelope

    def close(self) -> None:
        """End the subscription and wake its reader; what waits unread is dropped."""
        with self._ready:
            self._closed = True
            self._overrun = False
            self._queue.clear()
            self._ready.notify_all()


class Exchange:
    """``core.events.Exchange``; ``limit`` is the queue of one subscriber, in envelopes."""

    def __init__(self, limit: int = QUEUE) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._subscriptions: list[Subscription] = []

    def publish(self, namespace: str, topic: str, message: EventMessage) -> None:
        """Stamp, wrap and send an engine's event; never raises."""
        try:
            self._send(Envelope(now(), namespace, topic, AnyValue(message.TYPE, message.encode())))
        except Exception:  # noqa: BLE001 — the change that this tells of has happened all the same
            _log.exception("an event could not be published", namespace=namespace, topic=topic)

    def forward(self, envelope: Envelope) -> None:
        """Send an envelope made elsewhere. Raises InvalidArgument for a bad namespace or topic."""
        validate_identifier(envelope.namespace, "namespace")
        validate_topic(envelope.topic)
        self._send(envelope)

    def subscribe(self, filters: Sequence[str], on_event: Callable[[Envelope], None] | None = None) -> Subscription:
        """Open a subscription on all namespaces (fields ``namespace``, ``topic``, ``event.<field>``).

        With ``on_event`` envelopes go to the callback, on the publisher's thread, which it must not block. Raises
        Unknown for a filter that does not parse.
        """
        subscription = Subscription(compile_filters(filters, Unknown), on_event, self._limit)
        with self._lock:
            self._subscriptions.append(subscription)
        return subscription

    def close(self) -> None:
        """End every subscription."""
        with self._lock:
            subscriptions, self._subscriptions = self._subscriptions, []
        for subscription in subscriptions:
            subscription.close()

    def _send(self, envelope: Envelope) -> None:
        adaptor = envelope_adaptor(envelope)
        with self._lock:  # one order for all subscribers
            self._subscriptions = [each for each in self._subscriptions if _offer(each, envelope, adaptor)]


def _offer(subscription: Subscription, envelope: Envelope, adaptor: Adaptor) -> bool:
    try:
        return subscription.offer(envelope, adaptor)
    except Exception:  # noqa: BLE001 — one subscriber's failure is not the others'
        _log.exception("a subscriber failed and is dropped", topic=envelope.topic)
        subscription.close()
        return False


def envelope_adaptor(envelope: Envelope) -> Adaptor:
    """The fields filters see; the payload is decoded when first asked for, and absent if it is of no known type."""
    payload: list[Message | None] = []

    def field_of(path: Sequence[str]) -> tuple[str, bool]:
        if path[0] == "namespace":
            return text_field(envelope.namespace)
        if path[0] == "topic":
            return text_field(envelope.topic)
        if path[0] != "event":
            return ABSENT
        if not payload:
            payload.append(_decode(envelope.event))
        return payload_field(payload[0], path[1:])

    return field_of


def payload_field(value: object, path: Sequence[str]) -> tuple[str, bool]:
    """A string field of a message by proto names, into nested messages and maps; fields of other types are absent."""
    for index, name in enumerate(path):
        if isinstance(value, dict):
            found = value.get(".".join(path[index:]))
            return (found, True) if isinstance(found, str) else ABSENT
        if not isinstance(value, Message) or name.startswith("_") or name not in value.__slots__:
            return ABSENT
        value = getattr(value, name)
    return text_field(value) if isinstance(value, str) else ABSENT


def _decode(event: AnyValue) -> Message | None:
    try:
        return message_class(event.type_url).decode(event.value)
    except (KeyError, DecodeError):
        return None
