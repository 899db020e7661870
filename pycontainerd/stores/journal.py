"""The event journal: what was published in the last day, in files of bounded size, over restarts of the daemon.

A directory of segments named after the microsecond of their first event. A record is its length, its CRC-32 (4 bytes
each, little-endian) and an encoded ``containerd.types.Envelope``. It is written with one call before its publisher
goes on, so a killed daemon loses none; there is no fsync, since the events of a lost boot are of little use. Each start
opens a new segment, so a record torn by a power cut is the last of its file, and reading goes on with the next one.

Events about the execs of health checks are left out: some thousand containers would make nothing else remembered.
"""

from __future__ import annotations

import os
import threading
import zlib
from typing import TYPE_CHECKING

import structlog

from pycontainerd.core.errors import Unknown
from pycontainerd.core.events import Envelope
from pycontainerd.core.filters import compile as compile_filters
from pycontainerd.core.happenings import topic_of
from pycontainerd.core.health import EXEC_PREFIX
from pycontainerd.core.values import EPOCH, AnyValue
from pycontainerd.stores.columns import from_micros, now, to_micros
from pycontainerd.stores.disk import disk_error
from pycontainerd.stores.events import envelope_adaptor
from pycontainerd.wire import times
from pycontainerd.wire.codec import DecodeError
from pycontainerd.wire.failpoint import hit
from pycontainerd.wire.messages.google import Any as WireAny
from pycontainerd.wire.messages.types import Envelope as WireEnvelope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from pycontainerd.core.filters import Matcher
    from pycontainerd.wire.messages.history import Happened

    Clock = Callable[[], datetime]

_log = structlog.get_logger(__name__)

KEPT_SECONDS = 86400
"""How long events are kept."""
LIMIT = 64 << 20
"""Bytes of all segments; the oldest go first."""
SEGMENT = 1 << 20
"""Bytes after which a new segment is begun."""
BATCH = 512
"""Events that a reader gets at a time."""
_HEAD = 8
_SUFFIX = ".events"
_MILLION = 1_000_000
_EXEC_TOPICS = {"/tasks/exec-added", "/tasks/exec-started", "/tasks/exit", "/happened/container/exec_create"}
_HEALTH = EXEC_PREFIX.encode()
_MAX_RECORD = 16 << 20


class Journal:
    """Appends from any thread, reads from any other. Raises ``core.errors`` when its directory cannot be used."""

    def __init__(
        self,
        directory: str,
        *,
        kept: float = KEPT_SECONDS,
        limit: int = LIMIT,
        segment: int = SEGMENT,
        clock: Clock = now,
    ) -> None:
        self._directory, self._kept, self._limit, self._segment = directory, kept, limit, segment
        self._clock = clock
        self._lock = threading.Lock()
        self._fd, self._size, self._path = -1, 0, ""
        self._followers: list[Callable[[Envelope], None]] = []
        self._broken = False
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            self._segments = [(start, os.stat(self._name(start)).st_size) for start in self._listed()]
            self._prune()
        except OSError as error:
            raise disk_error(error, "event journal", directory) from error

    def append(self, envelope: Envelope) -> None:
        """Keep an event; a disk that takes no more is logged once and costs the events alone. Never raises."""
        if envelope.topic in _EXEC_TOPICS and _HEALTH in envelope.event.value:
            return
        record = _encode(envelope)
        with self._lock:
            try:
                self._write(record)
                self._broken = False
            except OSError as error:
                if not self._broken:
                    _log.error("events are not kept", directory=self._directory, reason=error.strerror)
                self._broken = True
                self._close()
            for follower in self._followers:
                follower(envelope)

    def tell(self, namespace: str, message: Happened) -> None:
        """Keep what the readers of the history alone are told. Never raises."""
        self.append(Envelope(self._clock(), namespace, topic_of(message), AnyValue(message.TYPE, message.encode())))

    def read(
        self,
        since: datetime | None = None,
        filters: Sequence[str] = (),
        follower: Callable[[Envelope], None] | None = None,
    ) -> Reading:
        """What was kept, from ``since`` on, as far as it passes the filters (those of Subscribe).

        ``follower`` is called with each further event that passes, without a gap, on the publisher's thread, which it
        must not block. Raises Unknown for a filter that does not parse. Close the result.
        """
        matches = compile_filters(filters, Unknown)
        with self._lock:
            reading = Reading(self, self._wanted(since), since, matches, follower)
            if follower is not None:
                self._followers.append(reading.offer)
        return reading

    def close(self) -> None:
        """Close the file that is being written."""
        with self._lock:
            self._close()

    def forget(self, follower: Callable[[Envelope], None]) -> None:
        """Stop calling a follower."""
        with self._lock:
            self._followers = [each for each in self._followers if each != follower]

    # -- files, under the lock --------------------------------------------------------------------------------------

    def _write(self, record: bytes) -> None:
        if self._fd < 0 or self._size + len(record) > self._segment:
            self._begin()
        hit("journal.write")
        written = os.write(self._fd, record)
        self._size += written
        self._segments[-1] = (self._segments[-1][0], self._size)
        if written < len(record):
            self._close()  # a full disk took a part: the rest of this file would be unreadable
            raise OSError(28, os.strerror(28))

    def _begin(self) -> None:
        self._close()
        self._prune()
        start = max(to_micros(self._clock()), self._segments[-1][0] + 1 if self._segments else 0)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self._name(start), flags, 0o600)
        self._segments.append((start, 0))
        self._size = 0

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _prune(self) -> None:
        """Drop the oldest segments: those whose last event is too old, and those beyond the limit."""
        oldest = to_micros(self._clock()) - round(self._kept * _MILLION)
        total = sum(size for _, size in self._segments) + self._segment
        while self._segments:
            ended = self._segments[1][0] if len(self._segments) > 1 else self._segments[0][0] + 1
            if total <= self._limit and (len(self._segments) == 1 or ended >= oldest):
                break
            start, size = self._segments.pop(0)
            total -= size
            try:
                os.unlink(self._name(start))
            except FileNotFoundError:
                pass

    def _listed(self) -> list[int]:
        names = [name.removesuffix(_SUFFIX) for name in os.listdir(self._directory) if name.endswith(_SUFFIX)]
        return sorted(int(name) for name in names if name.isascii() and name.isdigit())

    def _name(self, start: int) -> str:
        return f"{self._directory}/{start:020d}{_SUFFIX}"

    def _wanted(self, since: datetime | None) -> list[tuple[str, int]]:
        """Path and size of each segment that can hold events since then: none is written before it happens."""
        oldest = max(
            to_micros(since) if since is not None else 0, to_micros(self._clock()) - round(self._kept * _MILLION)
        )
        ends = [start for start, _ in self._segments[1:]] + [1 << 62]
        return [
            (self._name(start), size) for (start, size), end in zip(self._segments, ends, strict=True) if end >= oldest
        ]


class Reading:
    """What a reader has still to get; ``close`` it. For one reader at a time, on any thread."""

    def __init__(
        self,
        journal: Journal,
        segments: list[tuple[str, int]],
        since: datetime | None,
        matches: Matcher,
        follower: Callable[[Envelope], None] | None,
    ) -> None:
        self._journal, self._since, self._matches, self._follower = journal, since, matches, follower
        self._events = self._all(segments)

    def batch(self) -> list[Envelope]:
        """Some more of what was kept when the reading began; empty at the end."""
        found: list[Envelope] = []
        for envelope in self._events:
            found.append(envelope)
            if len(found) == BATCH:
                break
        return found

    def offer(self, envelope: Envelope) -> None:
        """A further event, for the follower."""
        if self._follower is not None and self._passes(envelope):
            self._follower(envelope)

    def close(self) -> None:
        """Stop following; can be done twice."""
        self._journal.forget(self.offer)

    def _all(self, segments: list[tuple[str, int]]) -> Iterator[Envelope]:
        for path, size in segments:
            for envelope in read_segment(path, size):
                if self._passes(envelope):
                    yield envelope

    def _passes(self, envelope: Envelope) -> bool:
        if self._since is not None and envelope.timestamp < self._since:
            return False
        return self._matches(envelope_adaptor(envelope))


def read_segment(path: str, size: int) -> Iterator[Envelope]:
    """The events in the first ``size`` bytes of a segment, up to the first damaged one; none if it is gone."""
    try:
        with open(path, "rb") as file:
            data = file.read(size)
    except FileNotFoundError:
        return
    position = 0
    while position + _HEAD <= len(data):
        length = int.from_bytes(data[position : position + 4], "little")
        crc = int.from_bytes(data[position + 4 : position + _HEAD], "little")
        payload = data[position + _HEAD : position + _HEAD + length]
        position += _HEAD + length
        if not 0 < length <= _MAX_RECORD or len(payload) < length or zlib.crc32(payload) != crc:
            return
        try:
            yield _decode(WireEnvelope.decode(payload))
        except DecodeError:
            return


def _encode(envelope: Envelope) -> bytes:
    micros = to_micros(envelope.timestamp)
    event = envelope.event
    payload = WireEnvelope(
        timestamp=times.from_ns(micros * 1000),
        namespace=envelope.namespace,
        topic=envelope.topic,
        event=WireAny(type_url=event.type_url, value=event.value),
    ).encode()
    return len(payload).to_bytes(4, "little") + zlib.crc32(payload).to_bytes(4, "little") + payload


def _decode(message: WireEnvelope) -> Envelope:
    at = EPOCH if message.timestamp is None else from_micros(times.to_ns(message.timestamp) // 1000)
    event = message.event
    value = AnyValue() if event is None else AnyValue(event.type_url, event.value)
    return Envelope(at, message.namespace, message.topic, value)
