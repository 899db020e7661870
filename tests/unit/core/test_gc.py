"""The walk over the reference graph."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core.gc import Graph, Item, Kind, Node, parse_duration, parse_time, snapshot_node

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = "2026-01-01T00:00:05Z"
EARLIER = "2025-12-31T23:00:00-00:30"


def content(key: str, namespace: str = "n") -> Node:
    return Node(Kind.CONTENT, namespace, key)


def image(key: str) -> Node:
    return Node(Kind.IMAGE, "n", key)


def lease(key: str = "l") -> Node:
    return Node(Kind.LEASE, "n", key)


def snapshot(key: str) -> Node:
    return snapshot_node("n", "overlayfs", key)


def item(node: Node, *references: Node, root: bool = False, **labels: str) -> Item:
    return Item(node, {f"containerd.io/gc.{key}": value for key, value in labels.items()}, references, root)


def label(node: Node, key: str, value: str, *references: Node, root: bool = False) -> Item:
    return Item(node, {f"containerd.io/gc.{key}": value}, references, root)


def garbage(*items: Item) -> set[Node]:
    return set(Graph(items, NOW).plan().garbage)


def test_an_image_keeps_what_its_labels_name_and_nothing_else() -> None:
    items = [
        item(image("i"), content("index")),
        label(content("index"), "ref.content.m.0", "manifest"),
        label(content("manifest"), "ref.content", "config"),
        label(content("config"), "ref.snapshot.overlayfs", "top"),
        item(snapshot("top"), snapshot("base")),
        item(snapshot("base")),
        item(content("stray")),
        item(content("config", "other")),
    ]
    assert garbage(*items) == {content("stray"), content("config", "other")}


@pytest.mark.parametrize("key", ["ref.content", "ref.content.l.0", "ref.content/x"])
def test_suffixes_of_content_references(key: str) -> None:
    assert garbage(item(image("i"), content("a")), label(content("a"), key, "b"), item(content("b"))) == set()


@pytest.mark.parametrize("key", ["ref.contents", "ref.nothing", "ref.snapshot", "ref.contentx.y"])
def test_labels_that_only_look_alike(key: str) -> None:
    items = [item(image("i"), content("a")), label(content("a"), key, "b"), item(content("b"))]
    assert garbage(*items) == {content("b")}


def test_roots() -> None:
    assert garbage(label(content("a"), "root", "anything")) == set()
    assert garbage(label(snapshot("a"), "root", "anything")) == set()
    assert garbage(item(Node(Kind.CONTAINER, "n", "c"), snapshot("s"), root=True), item(snapshot("s"))) == set()
    assert garbage(Item(Node(Kind.INGEST, "n", "r"), until=NOW + timedelta(1))) == set()
    assert garbage(Item(Node(Kind.INGEST, "n", "r"), until=NOW)) == {Node(Kind.INGEST, "n", "r")}


def test_expiry() -> None:
    assert garbage(label(lease(), "expire", LATER, content("a")), item(content("a"))) == set()
    assert garbage(label(lease(), "expire", EARLIER, content("a")), item(content("a"))) == {lease(), content("a")}
    assert garbage(label(image("i"), "expire", EARLIER, content("a")), item(content("a"))) == {image("i"), content("a")}
    assert garbage(label(content("a"), "expire", LATER), label(content("b"), "expire", EARLIER)) == {content("b")}


def test_an_unreadable_expiry_loses_nothing() -> None:
    assert garbage(label(lease(), "expire", "tomorrow", content("a")), item(content("a"))) == set()


def test_an_expired_image_can_be_kept_by_a_reference() -> None:
    items = [
        item(lease(), image("i")),
        label(image("i"), "expire", EARLIER, content("a")),
        item(content("a")),
    ]
    assert garbage(*items) == set()


def test_the_plan_knows_when_time_alone_will_make_garbage() -> None:
    plan = Graph([label(lease("a"), "expire", LATER), label(lease("b"), "expire", "2027-01-01T00:00:00Z")], NOW).plan()
    assert plan.next_expiry == NOW + timedelta(seconds=5)


def test_a_flat_lease_keeps_built_in_references_only() -> None:
    items = [
        label(lease(), "flat", "1", image("i"), snapshot("top"), content("alone")),
        label(image("i"), "expire", EARLIER, content("manifest")),
        label(content("manifest"), "ref.content.0", "layer"),
        item(content("layer")),
        item(content("alone")),
        item(snapshot("top"), snapshot("base")),
        label(snapshot("base"), "ref.content", "layer"),
    ]
    assert garbage(*items) == {content("layer")}


def test_a_flat_lease_does_not_hide_what_others_refer_to() -> None:
    items = [
        label(lease(), "flat", "1", content("manifest")),
        label(content("manifest"), "ref.content.0", "layer"),
        item(content("layer")),
        item(image("i"), content("manifest")),
    ]
    assert garbage(*items) == set()


def test_back_references() -> None:
    child = label(content("child"), "bref.image", "i")
    assert garbage(item(image("i"), content("a")), item(content("a")), child) == set()
    assert garbage(child) == {content("child")}
    assert garbage(item(snapshot("s"), root=True), label(content("c"), "bref.snapshot.overlayfs/x", "s")) == set()
    container = item(Node(Kind.CONTAINER, "n", "c"), root=True)
    assert garbage(container, label(content("c"), "bref.container.x", "c")) == set()


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("usedat<1h|s", True),
        ("usedat<10m|s", False),
        ("usedat>10m|s", True),
        ("usedat<1m,usedat<48h|s", True),
        ("other<1m,usedat<48h|s", True),
        ("usedat<=48h|s", False),
        ("usedat<48h", False),
        ("usedat<nonsense|s", False),
    ],
)
def test_conditional_references(condition: str, kept: bool) -> None:
    items = [
        label(image("i"), "cond.snapshot.overlayfs", condition, content("a")),
        item(content("a")),
        label(snapshot("s"), "cond.value-usedat", "2025-12-31T23:30:00Z"),
    ]
    assert garbage(*items) == (set() if kept else {snapshot("s")})


def test_explain_names_every_step() -> None:
    graph = Graph(
        [
            item(image("i"), content("m")),
            label(content("m"), "ref.content.l.0", "layer"),
            item(content("layer")),
            item(content("stray")),
        ],
        NOW,
    )
    path = graph.explain(content("layer"))
    assert [(step.node.key, step.why) for step in path] == [
        ("i", "root"),
        ("m", "target of the image"),
        ("layer", "containerd.io/gc.ref.content.l.0"),
    ]
    assert graph.explain(content("stray")) == []
    assert graph.explain(content("unknown")) == []


def test_two_rows_of_one_node_keep_what_either_keeps() -> None:
    items = [
        item(snapshot("s"), snapshot("a"), root=True),
        item(snapshot("s"), snapshot("b")),
        item(snapshot("a")),
        item(snapshot("b")),
    ]
    assert garbage(*items) == set()


EDGES = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=40)


@given(EDGES, st.sets(st.integers(0, 11)))
def test_garbage_is_exactly_what_is_not_reachable(edges: list[tuple[int, int]], roots: set[int]) -> None:
    items = []
    for number in range(12):
        targets = [content(str(to)) for source, to in edges if source == number]
        items.append(Item(content(str(number)), references=targets, root=number in roots))
    reachable, pending = set(roots), list(roots)
    while pending:
        source = pending.pop()
        for start, to in edges:
            if start == source and to not in reachable:
                reachable.add(to)
                pending.append(to)
    graph = Graph(items, NOW)
    plan = graph.plan()
    assert {int(node.key) for node in plan.garbage} == set(range(12)) - reachable
    for number in range(12):
        path = graph.explain(content(str(number)))
        assert bool(path) == (number in reachable)
        if path:
            assert int(path[0].node.key) in roots


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-01T00:00:00Z", NOW),
        ("2026-01-01T01:00:00.000000000+01:00", NOW),
        ("2026-01-01t00:00:00.5z", NOW + timedelta(milliseconds=500)),
        ("2026-01-01T00:00:00.123456789Z", NOW + timedelta(microseconds=123456)),
        ("2026-01-01", None),
        ("2026-13-01T00:00:00Z", None),
        ("2026-01-01T00:00:00", None),
        ("", None),
    ],
)
def test_times(text: str, expected: datetime | None) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1h30m", timedelta(hours=1.5)),
        ("-2.5s", timedelta(seconds=-2.5)),
        ("0", timedelta(0)),
        (".5ms", timedelta(microseconds=500)),
        ("1", None),
        ("h", None),
        ("1d", None),
        ("", None),
        ("9" * 400 + "h", None),
    ],
)
def test_durations(text: str, expected: timedelta | None) -> None:
    assert parse_duration(text) == expected
