"""Images, containers, leases, namespaces and content as values: validation, update masks, filter fields."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pycontainerd.core import containers, content, filters, images, leases, namespaces
from pycontainerd.core.containers import Container
from pycontainerd.core.digest import of_bytes
from pycontainerd.core.errors import InvalidArgument, PycontainerdError, Unimplemented
from pycontainerd.core.images import Image
from pycontainerd.core.leases import Lease, LeaseResource
from pycontainerd.core.values import AnyValue, Descriptor

TARGET = Descriptor("application/vnd.oci.image.manifest.v1+json", of_bytes(b"m"), 1, (("note", "n"),))
OTHER = Descriptor("application/vnd.oci.image.index.v1+json", of_bytes(b"i"), 2)
IMAGE = Image("docker.io/library/busybox:latest", TARGET, {"a": "1"})
CONTAINER = Container("c1", {"a": "1"}, image="busybox", runtime="io.containerd.runc.v2", spec=AnyValue("t", b"{}"))


@pytest.mark.parametrize(
    "bad",
    [
        replace(IMAGE, name=""),
        replace(IMAGE, target=replace(TARGET, digest="nonsense")),
        replace(IMAGE, target=replace(TARGET, size=0)),
        replace(IMAGE, target=replace(TARGET, media_type="")),
        replace(IMAGE, labels={"k": "v" * 5000}),
    ],
)
def test_bad_images(bad: Image) -> None:
    with pytest.raises(InvalidArgument):
        images.validated(bad)


def test_image_masks() -> None:
    new = Image(IMAGE.name, replace(OTHER, annotations=(("x", "y"),)), {"b": "2"})
    everything = images.updated(IMAGE, new, ())
    assert (everything.target, everything.labels) == (new.target, {"b": "2"})
    assert images.updated(IMAGE, new, ["labels"]) == replace(IMAGE, labels={"b": "2"})
    assert images.updated(IMAGE, new, ["labels.b"]).labels == {"a": "1", "b": "2"}
    assert images.updated(IMAGE, new, ["target"]) == replace(IMAGE, target=new.target)
    annotated = images.updated(IMAGE, new, ["annotations.x"])
    assert annotated.target == replace(TARGET, annotations=(("note", "n"), ("x", "y")))
    assert images.updated(IMAGE, new, ["annotations.note"]).target.annotations == ()
    assert images.updated(IMAGE, new, ["annotations"]).target.annotations == (("x", "y"),)
    with pytest.raises(InvalidArgument, match="update mask"):
        images.updated(IMAGE, new, ["name"])


def test_image_fields() -> None:
    field = images.adaptor(IMAGE)
    assert field(["name"]) == (IMAGE.name, True)
    assert field(["target", "digest"]) == (TARGET.digest, True)
    assert field(["target", "mediatype"]) == (TARGET.media_type, True)
    assert field(["annotations", "note"]) == ("n", True)
    for path in (["target"], ["target", "size"], ["labels"], ["created"]):
        assert field(path) == filters.ABSENT


@pytest.mark.parametrize(
    "bad",
    [
        replace(CONTAINER, id="a/b"),
        replace(CONTAINER, id=""),
        replace(CONTAINER, runtime=""),
        replace(CONTAINER, snapshot_key="k"),
        replace(CONTAINER, extensions={"": AnyValue()}),
    ],
)
def test_bad_containers(bad: Container) -> None:
    with pytest.raises(InvalidArgument):
        containers.validated(bad)


def test_container_masks() -> None:
    new = replace(
        CONTAINER, labels={"b": "2"}, image="other", spec=AnyValue("t", b"[]"), extensions={"e.x": AnyValue("u")}
    )
    assert containers.updated(CONTAINER, new, ()) == new
    assert containers.updated(CONTAINER, new, ["image"]) == replace(CONTAINER, image="other")
    assert containers.updated(CONTAINER, new, ["spec"]) == replace(CONTAINER, spec=new.spec)
    assert containers.updated(CONTAINER, new, ["extensions.e.x"]).extensions == {"e.x": AnyValue("u")}
    assert containers.updated(new, CONTAINER, ["extensions.e.x"]).extensions == {}
    assert containers.updated(CONTAINER, new, ["labels.b"]).labels == {"a": "1", "b": "2"}
    with pytest.raises(InvalidArgument, match="snapshot_key"):
        containers.updated(CONTAINER, new, ["snapshot_key"])


@pytest.mark.parametrize("new", [replace(CONTAINER, runtime="other"), replace(CONTAINER, snapshotter="native")])
def test_what_a_full_update_may_not_change(new: Container) -> None:
    with pytest.raises(InvalidArgument, match="cannot be changed"):
        containers.updated(CONTAINER, new, ())


def test_a_container_without_spec_cannot_be_updated() -> None:
    bare = containers.validated(replace(CONTAINER, spec=None))
    with pytest.raises(InvalidArgument, match="spec"):
        containers.updated(bare, replace(bare, labels={"x": "y"}), ["labels"])


def test_container_fields() -> None:
    field = containers.adaptor(CONTAINER)
    assert field(["id"]) == ("c1", True)
    assert field(["runtime", "name"]) == ("io.containerd.runc.v2", True)
    assert field(["image"]) == ("busybox", True)
    assert field(["labels", "a"]) == ("1", True)
    assert field(["runtime"]) == filters.ABSENT


@pytest.mark.parametrize(
    ("resource", "error"),
    [
        (LeaseResource("content", TARGET.digest), None),
        (LeaseResource("ingests", "ref"), None),
        (LeaseResource("images", "name"), None),
        (LeaseResource("snapshots/overlayfs", "key"), None),
        (LeaseResource("content", "nonsense"), InvalidArgument),
        (LeaseResource("snapshots", "key"), InvalidArgument),
        (LeaseResource("images", ""), InvalidArgument),
        (LeaseResource("containers", "c"), Unimplemented),
        (LeaseResource("content/x", TARGET.digest), Unimplemented),
        (LeaseResource("", "c"), Unimplemented),
    ],
)
def test_lease_resources(resource: LeaseResource, error: type[PycontainerdError] | None) -> None:
    if error is None:
        assert leases.validate_resource(resource) is resource
    else:
        with pytest.raises(error):
            leases.validate_resource(resource)


def test_other_fields() -> None:
    assert leases.adaptor(Lease("l"))(["id"]) == ("l", True)
    assert namespaces.adaptor(namespaces.Namespace("n", {"x.y": "z"}))(["labels", "x", "y"]) == ("z", True)
    info = content.adaptor(content.ContentInfo(TARGET.digest, 5))
    assert info(["digest"]) == (TARGET.digest, True)
    assert info(["size"]) == filters.ABSENT
    assert content.ingest_adaptor(content.IngestStatus("r"))(["ref"]) == ("r", True)
