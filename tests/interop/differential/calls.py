"""The sequence of calls: every noun, its happy path, its mistakes, and every wrong state of a task."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.field_mask_pb2 import FieldMask

from pycontainerd.api.containers.v1 import containers_pb2 as containers
from pycontainerd.api.content.v1 import content_pb2 as content
from pycontainerd.api.diff.v1 import diff_pb2 as diff
from pycontainerd.api.images.v1 import images_pb2 as images
from pycontainerd.api.leases.v1 import leases_pb2 as leases
from pycontainerd.api.namespaces.v1 import namespaces_pb2 as namespaces
from pycontainerd.api.snapshots.v1 import snapshots_pb2 as snapshots
from pycontainerd.api.types.descriptor_pb2 import Descriptor
from tests.interop.differential.tasks import of_tasks, spec
from tests.support.images import busybox_layer

if TYPE_CHECKING:
    from tests.interop.differential.session import Session

ROOTED = {"containerd.io/gc.root": "1"}
NONE = "sha256:" + "0" * 64
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def everything(session: Session) -> None:
    """The whole sequence."""
    for part in (of_namespaces, of_content, of_images, of_leases, of_snapshots, of_diff, of_containers, of_tasks):
        part(session)


def of_namespaces(s: Session) -> None:
    make = namespaces.CreateNamespaceRequest
    item = namespaces.Namespace
    s.call("ns create", "namespaces.Create", make(namespace=item(name="other", labels={"a": "1", "b": "2"})))
    s.call("ns create again", "namespaces.Create", make(namespace=item(name="other")))
    for name in ("", "-x", "a..b", "x" * 77, "UPPER", "a_b", "a b"):
        s.call(f"ns create {name[:9]!r}", "namespaces.Create", make(namespace=item(name=name)))
    s.call("ns get", "namespaces.Get", namespaces.GetNamespaceRequest(name="other"))
    update = namespaces.UpdateNamespaceRequest
    s.call(
        "ns update one",
        "namespaces.Update",
        update(namespace=item(name="other", labels={"a": "9", "c": "3"}), update_mask=FieldMask(paths=["labels.a"])),
    )
    s.call(
        "ns update removes",
        "namespaces.Update",
        update(namespace=item(name="other", labels={}), update_mask=FieldMask(paths=["labels.b"])),
    )
    s.call(
        "ns update unknown mask",
        "namespaces.Update",
        update(namespace=item(name="other"), update_mask=FieldMask(paths=["name"])),
    )
    s.call("ns update all", "namespaces.Update", update(namespace=item(name="other", labels={"z": "1"})))
    s.call("ns update none", "namespaces.Update", update(namespace=item(name="none", labels={"z": "1"})))
    s.call("ns delete", "namespaces.Delete", namespaces.DeleteNamespaceRequest(name="other"))
    s.call("ns delete again", "namespaces.Delete", namespaces.DeleteNamespaceRequest(name="other"))


def write(
    ref: str, action: content.WriteAction = content.STAT, data: bytes = b"", **more: Any
) -> content.WriteContentRequest:
    return content.WriteContentRequest(ref=ref, action=action, data=data, **more)


def of_content(s: Session) -> None:
    stat, put, commit = content.STAT, content.WRITE, content.COMMIT
    data = b"hello world"
    digest = digest_of(data)

    def send(label: str, *requests: content.WriteContentRequest) -> None:
        s.call(f"content {label}", "content.Write", iter(requests), stream=True)

    send(
        "write and commit",
        write("a", put, data),
        write("a", commit, offset=11, expected=digest, total=len(data), labels=ROOTED),
    )
    send("write again", write("a2", put, data), write("a2", commit, offset=11, expected=digest))
    send("commit at offset zero", write("a4", put, data), write("a4", commit, expected=digest))
    send("write known digest", write("a3", stat, expected=digest))
    send("write in parts", write("p", put, b"he"), write("p", put, b"llo", offset=2), write("p", stat))
    s.call("content status", "content.Status", content.StatusRequest(ref="p"))
    s.call("content statuses", "content.ListStatuses", content.ListStatusesRequest())
    send("resume", write("p", stat))
    send("resume at wrong offset", write("p", put, b"x", offset=9))
    send("resume rewinds", write("p", put, b"L", offset=2), write("p", stat))
    send("commit of wrong size", write("p", commit, offset=3, total=99))
    send("commit of wrong digest", write("p", commit, offset=3, expected=NONE))
    send("second ref", write("p", stat), write("q", stat))
    send("no ref", write("", put, b"x"))
    send("bad digest", write("bad", commit, b"x", expected="sha256:zz"))
    send("total shrinks", write("t", put, b"abc", total=2))
    send("write over total", write("t2", put, b"abcdef", total=3), write("t2", commit, offset=6, total=6))
    send("negative offset", write("n", put, b"x", offset=-1))
    s.call("content abort", "content.Abort", content.AbortRequest(ref="p"))
    s.call("content abort again", "content.Abort", content.AbortRequest(ref="p"))
    for ref in ("t", "t2", "n", "bad", "a4", "q"):
        s.call(f"content abort {ref}", "content.Abort", content.AbortRequest(ref=ref), keep=False)
    s.call("content info", "content.Info", content.InfoRequest(digest=digest))
    for offset, size in ((0, 0), (3, 4), (0, 99), (11, 0), (12, 0), (-1, 0), (0, -1), (5, 100)):
        s.call(
            f"content read {offset} {size}",
            "content.Read",
            content.ReadContentRequest(digest=digest, offset=offset, size=size),
            stream=True,
        )
    update = content.UpdateRequest
    s.call(
        "content label",
        "content.Update",
        update(info=content.Info(digest=digest, labels={"k": "v"}), update_mask=FieldMask(paths=["labels.k"])),
    )
    s.call(
        "content label bad mask",
        "content.Update",
        update(info=content.Info(digest=digest), update_mask=FieldMask(paths=["size"])),
    )
    for filters in (
        [],
        [f"digest=={digest}"],
        ["labels.k==v"],
        ["labels.k"],
        ["labels.none"],
        ["labels.k~=^v$"],
        ["size==11"],
        ["size==12"],
        ["digest!=x", "labels.none"],
        ["labels.k==v,size==12"],
        ['labels."k"==v'],
    ):
        s.call(f"content list {filters}", "content.List", content.ListContentRequest(filters=filters), stream=True)
    s.call("content delete", "content.Delete", content.DeleteContentRequest(digest=digest))
    s.call("content delete again", "content.Delete", content.DeleteContentRequest(digest=digest))


def of_images(s: Session) -> None:
    send = [write("i", content.COMMIT, b"{}", labels=ROOTED)]
    s.call("image blob", "content.Write", iter(send), stream=True)
    target = Descriptor(media_type="application/vnd.oci.image.config.v1+json", digest=digest_of(b"{}"), size=2)
    item = images.Image
    s.call(
        "image create",
        "images.Create",
        images.CreateImageRequest(image=item(name="one", target=target, labels={"a": "1"})),
    )
    s.call("image create again", "images.Create", images.CreateImageRequest(image=item(name="one", target=target)))
    s.call("image create no name", "images.Create", images.CreateImageRequest(image=item(target=target)))
    s.call(
        "image create no size",
        "images.Create",
        images.CreateImageRequest(image=item(name="x", target=Descriptor(media_type="m", digest=NONE))),
    )
    s.call(
        "image create no type",
        "images.Create",
        images.CreateImageRequest(image=item(name="x", target=Descriptor(digest=NONE, size=1))),
    )
    s.call(
        "image create odd digest",
        "images.Create",
        images.CreateImageRequest(image=item(name="x", target=Descriptor(media_type="m", digest="x", size=1))),
    )
    s.call("image get", "images.Get", images.GetImageRequest(name="one"))
    update = images.UpdateImageRequest
    s.call(
        "image label",
        "images.Update",
        update(image=item(name="one", target=target, labels={"b": "2"}), update_mask=FieldMask(paths=["labels.b"])),
    )
    s.call(
        "image labels",
        "images.Update",
        update(image=item(name="one", target=target, labels={"c": "2"}), update_mask=FieldMask(paths=["labels"])),
    )
    s.call(
        "image annotations",
        "images.Update",
        update(
            image=item(name="one", target=Descriptor(annotations={"n": "1"})),
            update_mask=FieldMask(paths=["target.annotations"]),
        ),
    )
    s.call(
        "image bad mask",
        "images.Update",
        update(image=item(name="one", target=target), update_mask=FieldMask(paths=["name"])),
    )
    s.call("image replace", "images.Update", update(image=item(name="one", target=target)))
    for filters in (["name==one"], ["name~=^o"], ["labels.c==2"], ["target.mediatype~=json"], ["target.digest==x"]):
        s.call(f"image list {filters}", "images.List", images.ListImagesRequest(filters=filters))
    s.call("image delete", "images.Delete", images.DeleteImageRequest(name="one", sync=True))
    s.call("image delete again", "images.Delete", images.DeleteImageRequest(name="one"))
    s.settle("/images/delete")


def of_leases(s: Session) -> None:
    s.call("lease create", "leases.Create", leases.CreateRequest(id="l", labels={"a": "1"}))
    s.call("lease create again", "leases.Create", leases.CreateRequest(id="l"))
    for name, kind in (
        (digest_of(b"x"), "content"),
        ("k", "snapshots/native"),
        ("r", "ingests"),
        ("x", "content"),
        ("x", "snapshots"),
        ("x", "nothing"),
        ("", "content"),
    ):
        resource = leases.Resource(id=name, type=kind)
        s.call(
            f"lease add {kind} {name[:3]}", "leases.AddResource", leases.AddResourceRequest(id="l", resource=resource)
        )
    s.call(
        "lease add to none",
        "leases.AddResource",
        leases.AddResourceRequest(id="none", resource=leases.Resource(id="r", type="ingests")),
    )
    s.call("lease resources", "leases.ListResources", leases.ListResourcesRequest(id="l"))
    s.call("lease resources of none", "leases.ListResources", leases.ListResourcesRequest(id="none"))
    s.call(
        "lease remove",
        "leases.DeleteResource",
        leases.DeleteResourceRequest(id="l", resource=leases.Resource(id="r", type="ingests")),
    )
    s.call(
        "lease remove again",
        "leases.DeleteResource",
        leases.DeleteResourceRequest(id="l", resource=leases.Resource(id="r", type="ingests")),
    )
    for filters in ([], ["id==l"], ["labels.a==1"], ["labels.b"]):
        s.call(f"lease list {filters}", "leases.List", leases.ListRequest(filters=filters))
    s.call("lease delete", "leases.Delete", leases.DeleteRequest(id="l", sync=True))
    s.call("lease delete again", "leases.Delete", leases.DeleteRequest(id="l"))


def of_snapshots(s: Session, driver: str = "native") -> None:
    def do(label: str, method: str, request: Any, **more: Any) -> Any:
        if "snapshotter" in request.DESCRIPTOR.fields_by_name and not request.snapshotter:
            request.snapshotter = driver
        return s.call(f"snapshot {label}", f"snapshots.{method}", request, **more)

    prepare, view, commit = (
        snapshots.PrepareSnapshotRequest,
        snapshots.ViewSnapshotRequest,
        snapshots.CommitSnapshotRequest,
    )
    remove, stat = snapshots.RemoveSnapshotRequest, snapshots.StatSnapshotRequest
    do("prepare", "Prepare", prepare(key="a", labels={**ROOTED, "x": "1"}), keep=False)
    do("prepare again", "Prepare", prepare(key="a"), keep=False)
    do("prepare no key", "Prepare", prepare(key=""), keep=False)
    do("prepare on none", "Prepare", prepare(key="b", parent="none"), keep=False)
    do("prepare on active", "Prepare", prepare(key="b", parent="a"), keep=False)
    do("stat", "Stat", stat(key="a"))
    do("commit", "Commit", commit(key="a", name="base", labels={**ROOTED, "y": "2"}))
    do("commit again", "Commit", commit(key="a", name="base"))
    do("stat committed", "Stat", stat(key="base"))
    do("child", "Prepare", prepare(key="child", parent="base", labels=ROOTED), keep=False)
    do("view", "View", view(key="view", parent="base", labels=ROOTED), keep=False)
    do("view stat", "Stat", stat(key="view"))
    do("commit view", "Commit", commit(key="view", name="v"))
    do("commit to taken", "Commit", commit(key="child", name="base"))
    do("mounts of committed", "Mounts", snapshots.MountsRequest(key="base"))
    do("mounts of none", "Mounts", snapshots.MountsRequest(key="none"))
    do("usage of none", "Usage", snapshots.UsageRequest(key="none"))
    do("remove parent", "Remove", remove(key="base"))
    update = snapshots.UpdateSnapshotRequest
    do(
        "label",
        "Update",
        update(info=snapshots.Info(name="base", labels={"n": "1"}), update_mask=FieldMask(paths=["labels.n"])),
    )
    do("label bad mask", "Update", update(info=snapshots.Info(name="base"), update_mask=FieldMask(paths=["parent"])))
    do("label none", "Update", update(info=snapshots.Info(name="none", labels={"n": "1"})))
    for filters in ([], ["kind==view"], ["kind==committed"], ["parent==base"], ["name==child"], ["labels.n==1"]):
        answer = do(f"list {filters}", "List", snapshots.ListSnapshotsRequest(filters=filters), stream=True, keep=False)
        names = sorted(info.name for item in answer or () for info in item.info)
        s.record.append((f"snapshot names {filters}", "OK", names))
    do("remove view", "Remove", remove(key="view"))
    do("remove child", "Remove", remove(key="child"))
    do("remove base", "Remove", remove(key="base"))
    do("remove again", "Remove", remove(key="base"))
    do("unknown snapshotter", "Stat", stat(snapshotter="nothing", key="x"))
    do("cleanup", "Cleanup", snapshots.CleanupRequest())


def of_diff(s: Session) -> None:
    data = busybox_layer().blob
    digest = digest_of(data)
    s.call("layer", "content.Write", iter([write("layer", content.COMMIT, data, labels=ROOTED)]), stream=True)
    layer = Descriptor(media_type=LAYER, digest=digest, size=len(data))
    made = s.call(
        "layer prepare",
        "snapshots.Prepare",
        snapshots.PrepareSnapshotRequest(snapshotter="overlayfs", key="layer", labels=ROOTED),
        keep=False,
    )
    s.call("diff apply", "diff.Apply", diff.ApplyRequest(diff=layer, mounts=made.mounts))
    for label, descriptor in (
        ("missing", Descriptor(media_type=LAYER, digest=NONE, size=1)),
        ("no type", Descriptor(digest=digest, size=1)),
        ("bad digest", Descriptor(media_type=LAYER, digest="x", size=1)),
        ("odd type", Descriptor(media_type="text/plain", digest=digest, size=1)),
    ):
        s.call(f"diff apply {label}", "diff.Apply", diff.ApplyRequest(diff=descriptor, mounts=made.mounts))
    s.call(
        "layer commit",
        "snapshots.Commit",
        snapshots.CommitSnapshotRequest(snapshotter="overlayfs", key="layer", name="busybox", labels=ROOTED),
    )
    s.call("diff of odd type", "diff.Diff", diff.DiffRequest(media_type="text/plain"))


def of_containers(s: Session) -> None:
    item, runtime = containers.Container, containers.Container.Runtime(name="io.containerd.runc.v2")
    create, update = containers.CreateContainerRequest, containers.UpdateContainerRequest
    made = item(id="one", runtime=runtime, labels={"a": "1"}, image="img", spec=spec("one", "true"))
    s.call("container create", "containers.Create", create(container=made))
    s.call("container create again", "containers.Create", create(container=made))
    for name in ("", "a/b", "-a", "x" * 77, "a..b"):
        s.call(f"container create {name[:5]!r}", "containers.Create", create(container=item(id=name, runtime=runtime)))
    s.call("container no runtime", "containers.Create", create(container=item(id="x")))
    s.call(
        "container key without driver",
        "containers.Create",
        create(container=item(id="x", runtime=runtime, snapshot_key="k")),
    )
    s.call(
        "container empty label",
        "containers.Create",
        create(container=item(id="x", runtime=runtime, labels={"k": "v" * 5000})),
    )
    s.call("container get", "containers.Get", containers.GetContainerRequest(id="one"))
    s.call("container get none", "containers.Get", containers.GetContainerRequest(id="none"))
    s.call(
        "container label",
        "containers.Update",
        update(container=item(id="one", labels={"b": "2"}), update_mask=FieldMask(paths=["labels.b"])),
    )
    s.call(
        "container labels",
        "containers.Update",
        update(container=item(id="one", labels={"c": "3"}), update_mask=FieldMask(paths=["labels"])),
    )
    s.call(
        "container image",
        "containers.Update",
        update(container=item(id="one", image="other"), update_mask=FieldMask(paths=["image"])),
    )
    s.call(
        "container extension",
        "containers.Update",
        update(
            container=item(id="one", extensions={"e": AnyMessage(type_url="t", value=b"v")}),
            update_mask=FieldMask(paths=["extensions.e"]),
        ),
    )
    s.call(
        "container snapshot key",
        "containers.Update",
        update(container=item(id="one", snapshot_key="k"), update_mask=FieldMask(paths=["snapshot_key"])),
    )
    s.call(
        "container runtime",
        "containers.Update",
        update(
            container=item(id="one", runtime=containers.Container.Runtime(name="r")),
            update_mask=FieldMask(paths=["runtime"]),
        ),
    )
    s.call(
        "container bad mask", "containers.Update", update(container=item(id="one"), update_mask=FieldMask(paths=["id"]))
    )
    s.call("container update none", "containers.Update", update(container=item(id="none")))
    s.call(
        "container replace runtime",
        "containers.Update",
        update(container=item(id="one", runtime=containers.Container.Runtime(name="r"), spec=made.spec)),
    )
    for filters in (
        ["id==one"],
        ["labels.c==3"],
        ["labels.x"],
        ["image==other"],
        ["runtime.name==io.containerd.runc.v2"],
        ["id~=^o"],
    ):
        s.call(f"container list {filters}", "containers.List", containers.ListContainersRequest(filters=filters))
    s.call("container delete", "containers.Delete", containers.DeleteContainerRequest(id="one"))
    s.call("container delete again", "containers.Delete", containers.DeleteContainerRequest(id="one"))
