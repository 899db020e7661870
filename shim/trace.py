"""Spans of a traced request. A request without a sampled `traceparent` costs one look at its metadata and nothing more.

W3C form: `00-<32 hex trace id>-<16 hex parent id>-<2 hex flags>`, bit 0 of the flags meaning "sampled".
"""

from __future__ import annotations

import os
import time

from pycontainerd.wire.messages.traces import Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.events import Publisher

_HEX = frozenset("0123456789abcdef")


def parse(traceparent: str) -> tuple[str, str] | None:
    """(trace id, parent id) of a sampled trace; None for everything else, malformed text among it."""
    parts = traceparent.split("-")
    if len(parts) < 4 or len(parts[0]) != 2 or len(parts[1]) != 32 or len(parts[2]) != 16 or len(parts[3]) != 2:
        return None
    if not _HEX.issuperset(parts[0] + parts[1] + parts[2] + parts[3]) or parts[0] == "ff":
        return None
    if not int(parts[3], 16) & 1 or not int(parts[1], 16) or not int(parts[2], 16):
        return None
    return parts[1], parts[2]


class Step:
    """One span as a context: an exception inside becomes its error."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    def __enter__(self) -> None:
        self._span.start_unix_nano = time.time_ns()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._span.end_unix_nano = time.time_ns()
        self._span.error = str(error) if error is not None else ""


class NoStep:
    """The context of a request that is not traced."""

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        return None


class NoTrace:
    """Of a request that is not traced."""

    __slots__ = ()

    on = False

    def step(self, name: str, **attributes: str) -> Step | NoStep:
        """Nothing."""
        return _NO_STEP

    def mark(self, name: str, started: int) -> None:
        """Nothing."""

    def send(self, publisher: Publisher) -> None:
        """Nothing."""


class Trace(NoTrace):
    """The spans of one request, below one span of the caller; the first is the parent of those that follow."""

    __slots__ = ("_parent", "_root", "_spans", "_trace_id")

    on = True

    def __init__(self, trace_id: str, parent: str) -> None:
        self._trace_id = trace_id
        self._parent = parent
        self._root = ""
        self._spans: list[Span] = []

    def step(self, name: str, **attributes: str) -> Step | NoStep:
        """A span around what is done inside the context."""
        span = Span(
            trace_id=self._trace_id,
            span_id=os.urandom(8).hex(),
            parent_id=self._root or self._parent,
            name=name,
            attributes=attributes,
            process="shim",
        )
        self._root = self._root or span.span_id
        self._spans.append(span)
        return Step(span)

    def mark(self, name: str, started: int) -> None:
        """A span from `started` (nanoseconds since 1970) until now."""
        with self.step(name):
            pass
        self._spans[-1].start_unix_nano = started

    def send(self, publisher: Publisher) -> None:
        """Hand over every finished span."""
        done = [span for span in self._spans if span.end_unix_nano]
        self._spans = [span for span in self._spans if not span.end_unix_nano]
        if done:
            publisher.report(done)


_NO_STEP = NoStep()
NONE = NoTrace()
"""The trace of requests that are not traced."""


def trace_of(traceparent: str) -> NoTrace:
    """The trace a request belongs to."""
    context = parse(traceparent) if traceparent else None
    return Trace(*context) if context else NONE
