"""Garbage collection as a decision: which objects does a walk from the roots reach, and along which path.

The reference graph is made of ``Item``s, which the stores list, and of the labels on them. Label names and their rules
are containerd's (docs/garbage-collection.md there):

* ``containerd.io/gc.root`` on content and snapshots makes a root; ``containerd.io/gc.expire`` (RFC 3339) bounds a lease
  or an image and makes anything else a root until that time.
* ``containerd.io/gc.ref.content[.x|/x]``, ``gc.ref.image[.x|/x]`` and ``gc.ref.snapshot.<snapshotter>[/x]`` point
  forward; ``gc.bref.content``, ``gc.bref.image``, ``gc.bref.container`` and ``gc.bref.snapshot.<snapshotter>`` let a
  child name the parent that keeps it.
* ``containerd.io/gc.flat`` on a lease keeps what it names, and of what that refers to only the built-in part (a
  snapshot's parents, an image's target), no labels.
* ``containerd.io/gc.cond.snapshot.<snapshotter>[/x]`` = ``usedat<age[,usedat>age…]|key`` on an image or content refers
  to a snapshot while the time since the snapshot's ``containerd.io/gc.cond.value-usedat`` meets any of the comparisons;
  ages are durations in Go's notation.

Nothing here does I/O or knows a clock: the caller passes the time.
"""

from __future__ import annotations

import enum
import re
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

PREFIX = "containerd.io/gc."
ROOT = PREFIX + "root"
EXPIRE = PREFIX + "expire"
FLAT = PREFIX + "flat"
REF = PREFIX + "ref."
BREF = PREFIX + "bref."
CONDITIONAL = PREFIX + "cond.snapshot."
USED_AT = PREFIX + "cond.value-usedat"


class Kind(enum.StrEnum):
    """What a node is; the words of lease resource types where there is one."""

    CONTENT = "content"
    IMAGE = "images"
    CONTAINER = "containers"
    SNAPSHOT = "snapshots"
    INGEST = "ingests"
    LEASE = "leases"
    SANDBOX = "sandboxes"
    MOUNT = "mounts"
    STREAM = "streams"


class Node(NamedTuple):
    """Identity of an object: ``key`` is its digest, name, id or ref; for snapshots ``<snapshotter>/<key>``."""

    kind: Kind
    namespace: str
    key: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.key}"


_Reached = dict[Node, "tuple[Node | None, str]"]
"""What a walk reached, with where it came from (None for a root) and why."""


def snapshot_node(namespace: str, snapshotter: str, key: str) -> Node:
    """The node of a snapshot."""
    return Node(Kind.SNAPSHOT, namespace, f"{snapshotter}/{key}")


@dataclass(frozen=True, slots=True)
class Item:
    """One object as its store lists it.

    ``references`` are the built-in ones (an image's target, a snapshot's parent, a lease's resources). ``root`` says
    that the store keeps it whatever the labels say (a container, a running ingest), ``until`` that it does so up to a
    time; an image and a lease are roots by kind, unless expired.
    """

    node: Node
    labels: Mapping[str, str] = field(default_factory=dict)
    references: Sequence[Node] = ()
    root: bool = False
    until: datetime | None = None

    def merged(self, other: Item) -> Item:
        """Two rows of one node (a snapshot and a lost one of its name): it keeps what either keeps."""
        return Item(
            self.node,
            {**self.labels, **other.labels},
            [*self.references, *other.references],
            self.root or other.root,
            self.until or other.until,
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the path that keeps a node: ``why`` is ``root``, the label, or the built-in relation."""

    node: Node
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The outcome of a walk: what is garbage, and when time alone will make more of it."""

    garbage: Sequence[Node]
    next_expiry: datetime | None = None


class Graph:
    """The reference graph at one moment; build it from items, then ask ``plan`` or ``explain``."""

    def __init__(self, items: Iterable[Item], now: datetime) -> None:
        self._now = now
        self._expiries: list[datetime] = []
        self._items: dict[Node, Item] = {}
        for item in items:
            known = self._items.get(item.node)
            self._items[item.node] = item if known is None else known.merged(item)
        self._back: dict[Node, list[tuple[Node, str]]] = {}
        for item in self._items.values():
            for parent, label in labelled(item, BREF):
                self._back.setdefault(parent, []).append((item.node, label))

    def plan(self) -> Plan:
        """What no root reaches, in the order the items came."""
        reached = self._walk()
        return Plan(
            [node for node in self._items if node not in reached],
            min((time for time in self._expiries if time > self._now), default=None),
        )

    def explain(self, node: Node) -> list[Step]:
        """The shortest path from a root to ``node``, root first; empty when nothing keeps it."""
        if node not in self._items:
            return []
        reached = self._walk()
        path: list[Step] = []
        at: Node | None = node
        while at is not None:
            if at not in reached:
                return []
            source, why = reached[at]
            path.append(Step(at, why))
            at = source
        return path[::-1]

    # -- the walk ---------------------------------------------------------------------------------------------------

    def _walk(self) -> _Reached:
        """Breadth first from the roots. Flat leases go last: whatever else reaches a node has walked on by then."""
        self._expiries.clear()
        reached: _Reached = {}
        flat: list[Node] = []
        pending: deque[Node] = deque()
        for item in self._items.values():
            why = self._root(item)
            if why:
                reached[item.node] = (None, why)
                is_flat = item.node.kind is Kind.LEASE and FLAT in item.labels
                (flat if is_flat else pending).append(item.node)
        self._spread(pending, reached, self._references)
        self._spread(deque(flat), reached, self._built_in)
        return reached

    def _spread(
        self, pending: deque[Node], reached: _Reached, references: Callable[[Node], Iterable[tuple[Node, str]]]
    ) -> None:
        while pending:
            node = pending.popleft()
            for target, why in references(node):
                if target not in reached:
                    reached[target] = (node, why)
                    pending.append(target)

    def _root(self, item: Item) -> str:
        """Why the item is a root, or empty."""
        kind = item.node.kind
        expire = item.labels.get(EXPIRE)
        alive = False
        if expire is not None:
            at = parse_time(expire)
            # An unreadable time must not lose data: it counts as never expiring where it would end something.
            alive = at is None or at > self._now
            if at is not None:
                self._expiries.append(at)
        if kind in {Kind.IMAGE, Kind.LEASE}:
            return "root" if expire is None or alive else ""
        if item.until is not None:
            self._expiries.append(item.until)
        if item.root or (item.until is not None and item.until > self._now):
            return "root"
        if ROOT in item.labels and kind in {Kind.CONTENT, Kind.SNAPSHOT}:
            return ROOT
        return EXPIRE if alive else ""

    def _built_in(self, node: Node) -> Iterator[tuple[Node, str]]:
        item = self._items.get(node)
        for target in item.references if item is not None else ():
            relation = "held by the lease" if node.kind is Kind.LEASE else _RELATION.get((node.kind, target.kind))
            yield target, relation or "refers to it"

    def _references(self, node: Node) -> Iterator[tuple[Node, str]]:
        item = self._items.get(node)
        if item is not None:
            yield from self._built_in(node)
            yield from labelled(item, REF)
            yield from self._conditional(item)
        yield from self._back.get(node, ())

    def _conditional(self, item: Item) -> Iterator[tuple[Node, str]]:
        if item.node.kind not in {Kind.IMAGE, Kind.CONTENT}:
            return
        for label, value in item.labels.items():
            if not label.startswith(CONDITIONAL):
                continue
            conditions, bar, key = value.partition("|")
            snapshotter = label[len(CONDITIONAL) :].partition("/")[0]
            target = snapshot_node(item.node.namespace, snapshotter, key)
            snapshot = self._items.get(target)
            used = parse_time(snapshot.labels.get(USED_AT, "")) if snapshot is not None else None
            if bar and used is not None and self._satisfied(conditions, used):
                yield target, label

    def _satisfied(self, conditions: str, used: datetime) -> bool:
        """Whether any of the comparisons holds; those that are unreadable or of an unknown kind count as false."""
        for condition in conditions.split(","):
            match = _USED_AT.match(condition)
            limit = parse_duration(match[2]) if match else None
            if match is None or limit is None:
                continue
            if match[1] == ">" and self._now - used > limit:
                return True
            if match[1] == "<" and self._now - used < limit:
                self._expiries.append(used + limit)
                return True
        return False


_RELATION = {
    (Kind.IMAGE, Kind.CONTENT): "target of the image",
    (Kind.SNAPSHOT, Kind.SNAPSHOT): "parent of the snapshot",
    (Kind.CONTAINER, Kind.SNAPSHOT): "root filesystem of the container",
    (Kind.INGEST, Kind.CONTENT): "expected by the ingest",
}


# -- labels ---------------------------------------------------------------------------------------------------------

_LABEL_KINDS = {
    "content": Kind.CONTENT,
    "image": Kind.IMAGE,
    "container": Kind.CONTAINER,
    "mount": Kind.MOUNT,
    "stream": Kind.STREAM,
}
_USED_AT = re.compile(r"usedat([<>])(?!=)(.+)\Z", re.DOTALL)
_WORD = re.compile(r"[^./]*")


def labelled(item: Item, prefix: str) -> Iterator[tuple[Node, str]]:
    """The nodes that the ``gc.ref`` or ``gc.bref`` labels of an item name, each with its label."""
    for label, value in item.labels.items():
        if not label.startswith(prefix):
            continue
        rest = label[len(prefix) :]
        word = _WORD.match(rest)[0]  # type: ignore[index]  # matches the empty string at worst
        if rest.startswith("snapshot."):
            yield snapshot_node(item.node.namespace, rest[len("snapshot.") :].partition("/")[0], value), label
        elif word in _LABEL_KINDS:
            yield Node(_LABEL_KINDS[word], item.node.namespace, value), label


_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII)


def parse_time(text: str) -> datetime | None:
    """An RFC 3339 time cut to microseconds, or None when it is none."""
    match = _RFC3339.match(text)
    if match is None:
        return None
    date, clock, fraction, zone = match.groups()
    fraction = (fraction or ".0")[:7].ljust(7, "0")
    try:
        return datetime.fromisoformat(f"{date}T{clock}{fraction}{'+00:00' if zone in 'Zz' else zone}")
    except ValueError:
        return None


_UNITS = {"ns": 1e-3, "us": 1.0, "µs": 1.0, "μs": 1.0, "ms": 1e3, "s": 1e6, "m": 6e7, "h": 3.6e9}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_DURATION = re.compile(rf"[+-]?(?:0|(?:{_PART.pattern})+)\Z", re.ASCII)


def parse_duration(text: str) -> timedelta | None:
    """A duration as Go writes it (``1h30m``, ``-2.5s``, ``0``), or None when it is none."""
    if not _DURATION.match(text):
        return None
    micros = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    try:
        return timedelta(microseconds=-micros if text.startswith("-") else micros)
    except OverflowError:
        return None
