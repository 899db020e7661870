"""Events: topics, envelopes and the callback by which engines publish."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.identifiers import validate_identifier

if TYPE_CHECKING:
    from datetime import datetime

    from pycontainerd.core.values import AnyValue


@dataclass(frozen=True, slots=True)
class Envelope:
    """One event as subscribers get it; ``event`` is an encoded message of ``containerd.events`` and the like."""

    timestamp: datetime
    namespace: str
    topic: str
    event: AnyValue


class EventMessage(Protocol):
    """An encodable event payload: the classes of ``pycontainerd.wire.messages`` fit."""

    TYPE: ClassVar[str]

    def encode(self) -> bytes: ...


Publish = Callable[[str, str, EventMessage], None]
"""``publish(namespace, topic, message)``: never raises, never blocks; called after the change is committed."""


def discard(namespace: str, topic: str, message: EventMessage) -> None:
    """The publisher of tests and tools that have no subscribers."""


class Subscription(Protocol):
    """An open subscription. Iterating blocks for the next envelope; ``close`` ends it from any thread."""

    def __iter__(self) -> Iterator[Envelope]: ...

    def get(self, timeout: float | None = None) -> Envelope | None:
        """The next envelope, or None when the timeout (seconds) passed or the subscription is closed."""

    def repeat(self, envelope: Envelope) -> None:
        """Hand an envelope to this subscriber alone, if it passes the filters."""

    def close(self) -> None: ...


class Exchange(Protocol):
    """Fans events out to subscribers of every namespace; no replay."""

    def publish(self, namespace: str, topic: str, message: EventMessage) -> None:
        """Stamp, wrap and send an engine's event."""

    def forward(self, envelope: Envelope) -> None:
        """Send an envelope made elsewhere. Raises InvalidArgument for a bad namespace or topic."""

    def subscribe(self, filters: Sequence[str], on_event: Callable[[Envelope], None] | None = None) -> Subscription:
        """Open a subscription; with ``on_event`` envelopes go to the callback (any thread, must not block).

        Raises Unknown for a filter that does not parse (the contract leaves this error unmapped).
        """


def validate_topic(topic: str) -> str:
    """Return ``topic`` when it is ``/``-separated identifiers with a leading slash; raise InvalidArgument."""
    if not topic.startswith("/") or topic == "/":
        raise InvalidArgument("topic", topic, "must start with '/' and name something")
    for part in topic[1:].split("/"):
        validate_identifier(part, "topic part")
    return topic
