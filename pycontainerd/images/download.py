"""Blobs on their way from a registry into the content store: verified, resumed, fetched once however many ask.

A broken connection is taken up where it ended, across attempts and across pulls (the ingest stays). What does not hash
to its digest is thrown away and fetched once more before that is reported.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from pycontainerd.core.digest import of_bytes, split_digest
from pycontainerd.core.errors import (
    AlreadyExists,
    Cancelled,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from pycontainerd.core.manifest import MAX_DOCUMENT, SOURCE_LABEL, child_labels, parse_document, ref_key
from pycontainerd.core.transfer import Progress
from pycontainerd.images.holding import add_labels
from pycontainerd.wire.failpoint import hit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pycontainerd.core.content import ContentStore, Writer
    from pycontainerd.core.manifest import Index, Manifest
    from pycontainerd.core.transfer import Report
    from pycontainerd.core.values import Descriptor
    from pycontainerd.images.registry import Registry

ATTEMPTS = 5
"""How often in a row a stream may break without a byte having come."""
_BEAT = 0.1
_WAIT = 0.2


class Downloads:
    """Fetches for one pull. ``stop`` makes every method give up with Cancelled; thread-safe."""

    def __init__(
        self, content: ContentStore, registry: Registry, namespace: str, *, lease: str, progress: Report
    ) -> None:
        self._content, self._registry, self._namespace = content, registry, namespace
        self._lease, self._progress = lease, progress
        self._stopped = threading.Event()
        reference = registry.reference
        self._source = {SOURCE_LABEL + reference.host: reference.path}

    def stop(self) -> None:
        """Give up."""
        self._stopped.set()

    def document(self, descriptor: Descriptor, parents: tuple[str, ...] = ()) -> Manifest | Index:
        """A manifest or index, stored with the labels by which it keeps its children."""
        if descriptor.size > MAX_DOCUMENT:
            raise InvalidArgument("image manifest", descriptor.digest, f"larger than {MAX_DOCUMENT} bytes")
        data, found = self._stored_document(descriptor)
        if not found:
            data = self._fetch_document(descriptor)
        parsed = parse_document(data, descriptor.media_type)
        labels = child_labels(parsed.children)
        if found:
            self._keep(descriptor, labels, parents)
        else:
            self._write_document(descriptor, data, labels, parents)
        return parsed

    def _stored_document(self, descriptor: Descriptor) -> tuple[bytes, bool]:
        try:
            return self._content.read(self._namespace, descriptor.digest, MAX_DOCUMENT), True
        except NotFound:
            return b"", False

    def _fetch_document(self, descriptor: Descriptor) -> bytes:
        for attempt in range(ATTEMPTS):
            self._check()
            data = bytearray()
            try:
                for piece in self._registry.fetch(descriptor):
                    data += piece
                    if len(data) > descriptor.size:
                        raise InvalidArgument("image manifest", descriptor.digest, "larger than announced")
            except Unavailable:
                if attempt == ATTEMPTS - 1:
                    raise
                continue
            if of_bytes(bytes(data), split_digest(descriptor.digest)[0]) == descriptor.digest:
                return bytes(data)
        raise FailedPrecondition("image manifest", descriptor.digest, "the registry sends other bytes than these")

    def _write_document(
        self, descriptor: Descriptor, data: bytes, labels: Mapping[str, str], parents: tuple[str, ...]
    ) -> None:
        all_labels = {**self._source, **labels}
        with suppress(AlreadyExists), self._writer(descriptor) as writer:
            writer.truncate(0)
            writer.write(data)
            writer.commit(size=len(data), expected=descriptor.digest, labels=all_labels)
            self._tell("complete", descriptor, parents, len(data))
            return
        self._keep(descriptor, labels, parents)

    def blob(self, descriptor: Descriptor, parents: tuple[str, ...] = ()) -> None:
        """A config or layer. Raises FailedPrecondition when the registry sends other bytes, and what fetch raises."""
        self._tell("waiting", descriptor, parents, 0)
        try:
            if not self._try_blob(descriptor, parents, last=False):
                self._try_blob(descriptor, parents, last=True)
        except AlreadyExists:
            self._keep(descriptor, {}, parents)
        except (FailedPrecondition, InvalidArgument):
            with suppress(NotFound):  # wrong bytes: there is nothing in them to resume from
                self._content.abort(self._namespace, ref_key(descriptor))
            raise
        else:
            self._tell("complete", descriptor, parents, descriptor.size)

    def _try_blob(self, descriptor: Descriptor, parents: tuple[str, ...], *, last: bool) -> bool:
        with self._writer(descriptor) as writer:
            self._fill(writer, descriptor, parents)
            hit("pull.fetched")
            try:
                writer.commit(size=descriptor.size, expected=descriptor.digest, labels=self._source)
            except FailedPrecondition:
                writer.truncate(0)
                if last:
                    raise
                return False
            return True

    def _keep(self, descriptor: Descriptor, labels: Mapping[str, str], parents: tuple[str, ...]) -> None:
        """A blob that was here: lease it, label it, say so."""
        with suppress(AlreadyExists):
            self._writer(descriptor).close()  # by asking for it with our lease, we hold it
        add_labels(self._content, self._namespace, descriptor.digest, {**self._source, **labels})
        self._tell("already exists", descriptor, parents, descriptor.size)

    def _writer(self, descriptor: Descriptor) -> Writer:
        """The one writer of this blob, once others are through with it. Raises AlreadyExists, Cancelled."""
        while True:
            try:
                return self._content.writer(
                    self._namespace,
                    ref_key(descriptor),
                    total=descriptor.size,
                    expected=descriptor.digest,
                    lease=self._lease,
                )
            except Unavailable:
                self._check()
                self._tell("waiting", descriptor, (), 0)
                self._stopped.wait(_WAIT)

    def _fill(self, writer: Writer, descriptor: Descriptor, parents: tuple[str, ...]) -> None:
        """Append what is missing, resuming as often as there is progress."""
        offset = writer.status().offset
        if offset > descriptor.size:
            writer.truncate(0)
            offset = 0
        failures = 0
        beat = Beat(lambda done: self._tell("downloading", descriptor, parents, done))
        beat.now(offset)
        while offset < descriptor.size:
            before = offset
            try:
                for piece in self._registry.fetch(descriptor, offset):
                    self._check()
                    if offset + len(piece) > descriptor.size:
                        raise InvalidArgument("content", descriptor.digest, "the registry sends more than announced")
                    offset = writer.write(piece)
                    beat(offset)
                if offset < descriptor.size:
                    raise Unavailable("content", descriptor.digest, "the registry sends less than announced")
            except Unavailable:
                failures = 0 if offset > before else failures + 1
                if failures >= ATTEMPTS:
                    raise
                self._stopped.wait(0.1 * 2**failures)
                self._check()

    def _check(self) -> None:
        if self._stopped.is_set():
            raise Cancelled("the transfer was given up")

    def _tell(self, event: str, descriptor: Descriptor, parents: tuple[str, ...], done: int) -> None:
        self._progress(Progress(event, ref_key(descriptor), parents, done, descriptor.size, descriptor))


class Beat:
    """Calls through at most ten times a second."""

    def __init__(self, act: Callable[[int], None]) -> None:
        self._act, self._next = act, 0.0

    def __call__(self, value: int) -> None:
        if time.monotonic() >= self._next:
            self.now(value)

    def now(self, value: int) -> None:
        """Call at once."""
        self._act(value)
        self._next = time.monotonic() + _BEAT
