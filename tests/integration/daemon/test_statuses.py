"""The status codes of the wire contract, one row a case, over real gRPC; what needs a running task is elsewhere."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask

from pycontainerd.api.containers.v1 import containers_pb2 as containers
from pycontainerd.api.content.v1 import content_pb2 as content
from pycontainerd.api.diff.v1 import diff_pb2 as diff
from pycontainerd.api.events.v1 import events_pb2 as events
from pycontainerd.api.grpc.health.v1 import health_pb2 as health
from pycontainerd.api.images.v1 import images_pb2 as images
from pycontainerd.api.introspection.v1 import introspection_pb2 as introspection
from pycontainerd.api.leases.v1 import leases_pb2 as leases
from pycontainerd.api.mounts.v1 import mounts_pb2 as mounts
from pycontainerd.api.namespaces.v1 import namespaces_pb2 as namespaces
from pycontainerd.api.snapshots.v1 import snapshots_pb2 as snapshots
from pycontainerd.api.streaming.v1 import streaming_pb2 as streaming
from pycontainerd.api.tasks.v1 import tasks_pb2 as tasks
from pycontainerd.api.types.descriptor_pb2 import Descriptor
from pycontainerd.api.types.mount_pb2 import Mount
from tests.support.stubs import Stub, connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.daemon import RunningDaemon

pytestmark = pytest.mark.root
NS = "statuses"
NONE = "sha256:" + "0" * 64
LONG = {"k": "v" * 4096}
BAD = ["labels.x=="]
TARGET = Descriptor(media_type="m", digest=NONE, size=1)


def service(noun: str, name: str = "") -> str:
    return f"containerd.services.{noun}.v1.{name or noun.capitalize()}"


@pytest.fixture(scope="module")
def channel(shared_daemon: RunningDaemon) -> Iterator[grpc.Channel]:
    with connect(shared_daemon.address) as opened:
        _prepare(opened)
        yield opened


ROOTED = {"containerd.io/gc.root": "1"}
"""Keeps what no image or lease refers to from being collected under the tests."""


def _prepare(channel: grpc.Channel) -> None:
    images_stub = Stub(channel, service("images"), namespace=NS)
    images_stub.Create(images.CreateImageRequest(image=images.Image(name="there", target=TARGET)))
    write = content.WriteContentRequest(ref="blob", action=content.COMMIT, data=b"x", labels=ROOTED)
    list(Stub(channel, service("content"), namespace=NS).Write(iter([write])))
    made = containers.Container(id="there", runtime=containers.Container.Runtime(name="r"))
    Stub(channel, service("containers"), namespace=NS).Create(containers.CreateContainerRequest(container=made))
    Stub(channel, service("leases"), namespace=NS).Create(leases.CreateRequest(id="there"))
    snapshot = Stub(channel, service("snapshots"), namespace=NS, metadata=(("containerd-lease", "there"),))
    snapshot.Prepare(snapshots.PrepareSnapshotRequest(snapshotter="native", key="base"))
    snapshot.Commit(snapshots.CommitSnapshotRequest(snapshotter="native", key="base", name="committed"))
    snapshot.Prepare(snapshots.PrepareSnapshotRequest(snapshotter="native", key="active", parent="committed"))
    snapshot.View(snapshots.ViewSnapshotRequest(snapshotter="native", key="view", parent="committed"))


def snap(kind: str, **fields: Any) -> tuple[str, str, Any]:
    names = {"Mounts": "MountsRequest", "Usage": "UsageRequest", "Cleanup": "CleanupRequest"}
    names |= {"List": "ListSnapshotsRequest"}
    message = getattr(snapshots, names.get(kind, f"{kind}SnapshotRequest"))
    return service("snapshots"), kind, message(**{"snapshotter": "native", **fields})


def image(**fields: Any) -> images.Image:
    return images.Image(**{"name": "new", "target": TARGET, **fields})


def record(**fields: Any) -> containers.Container:
    return containers.Container(**{"id": "new", "runtime": containers.Container.Runtime(name="r"), **fields})


BLOB = f"sha256:{hashlib.sha256(b'x').hexdigest()}"
CONTENT, IMAGES, CONTAINERS = service("content"), service("images"), service("containers")
NAMESPACES, LEASES, TASKS, EVENTS = service("namespaces"), service("leases"), service("tasks"), service("events")
INTROSPECTION, MOUNTS, DIFF = service("introspection"), service("mounts"), service("diff")
FMASK = FieldMask(paths=["size"])
LAYER = "application/vnd.oci.image.layer.v1.tar"
PREFIXED = "type.googleapis.com/" + streaming.StreamInit.DESCRIPTOR.full_name


def write(ref: str, **fields: Any) -> tuple[str, str, Any]:
    return CONTENT, "Write", content.WriteContentRequest(ref=ref, **fields)


def update(**fields: Any) -> tuple[str, str, Any]:
    message = containers.UpdateContainerRequest(container=record(**fields), update_mask=FMASK)
    return CONTAINERS, "Update", message


def create(**fields: Any) -> tuple[str, str, Any]:
    return CONTAINERS, "Create", containers.CreateContainerRequest(container=containers.Container(**fields))


def namespace(name: str) -> tuple[str, str, Any]:
    message = namespaces.CreateNamespaceRequest(namespace=namespaces.Namespace(name=name))
    return NAMESPACES, "Create", message


def hold(**fields: Any) -> tuple[str, str, Any]:
    return LEASES, "AddResource", leases.AddResourceRequest(id="there", resource=leases.Resource(**fields))


def apply(media_type: str, digest: str) -> tuple[str, str, Any]:
    return DIFF, "Apply", diff.ApplyRequest(diff=Descriptor(media_type=media_type, digest=digest, size=1))


ITEM = leases.Resource(type="content", id=NONE)

ROWS: list[tuple[str, str, Any, str]] = [
    (CONTENT, "Info", content.InfoRequest(digest="x"), "INVALID_ARGUMENT"),
    (CONTENT, "Info", content.InfoRequest(digest=NONE), "NOT_FOUND"),
    (CONTENT, "Read", content.ReadContentRequest(digest="x"), "INVALID_ARGUMENT"),
    (CONTENT, "Read", content.ReadContentRequest(digest=NONE), "NOT_FOUND"),
    (CONTENT, "Read", content.ReadContentRequest(digest=BLOB, offset=2), "OUT_OF_RANGE"),
    (CONTENT, "Read", content.ReadContentRequest(digest=BLOB, offset=1), "OK"),
    (CONTENT, "Delete", content.DeleteContentRequest(digest="x"), "INVALID_ARGUMENT"),
    (CONTENT, "Delete", content.DeleteContentRequest(digest=NONE), "NOT_FOUND"),
    (CONTENT, "Update", content.UpdateRequest(info=content.Info(digest="x")), "INVALID_ARGUMENT"),
    (CONTENT, "Update", content.UpdateRequest(info=content.Info(digest=NONE)), "NOT_FOUND"),
    (CONTENT, "Update", content.UpdateRequest(), "INVALID_ARGUMENT"),
    (CONTENT, "Update", content.UpdateRequest(info=content.Info(digest=BLOB), update_mask=FMASK), "INVALID_ARGUMENT"),
    (CONTENT, "Update", content.UpdateRequest(info=content.Info(digest=BLOB, labels=LONG)), "INVALID_ARGUMENT"),
    (CONTENT, "List", content.ListContentRequest(filters=BAD), "INVALID_ARGUMENT"),
    (CONTENT, "ListStatuses", content.ListStatusesRequest(filters=BAD), "INVALID_ARGUMENT"),
    (CONTENT, "Status", content.StatusRequest(ref="none"), "NOT_FOUND"),
    (CONTENT, "Abort", content.AbortRequest(ref="none"), "NOT_FOUND"),
    (CONTENT, "Write", content.WriteContentRequest(), "INVALID_ARGUMENT"),
    (*write("r", expected=BLOB), "ALREADY_EXISTS"),
    (*write("r", action=content.COMMIT, data=b"x"), "ALREADY_EXISTS"),
    (*write("r1", action=content.WRITE, offset=5), "OUT_OF_RANGE"),
    (*write("r2", action=content.COMMIT, total=9), "FAILED_PRECONDITION"),
    (*write("r3", action=content.COMMIT, expected=NONE), "FAILED_PRECONDITION"),
    (IMAGES, "Get", images.GetImageRequest(name="none"), "NOT_FOUND"),
    (IMAGES, "Update", images.UpdateImageRequest(image=image(name="none")), "NOT_FOUND"),
    (IMAGES, "Update", images.UpdateImageRequest(image=image(name="")), "INVALID_ARGUMENT"),
    (IMAGES, "Update", images.UpdateImageRequest(), "INVALID_ARGUMENT"),
    (IMAGES, "Update", images.UpdateImageRequest(image=image(name="there"), update_mask=FMASK), "INVALID_ARGUMENT"),
    (IMAGES, "Update", images.UpdateImageRequest(image=image(name="there", labels=LONG)), "INVALID_ARGUMENT"),
    (IMAGES, "Delete", images.DeleteImageRequest(name="none"), "NOT_FOUND"),
    (IMAGES, "Delete", images.DeleteImageRequest(name="there", target=Descriptor(digest=BLOB)), "NOT_FOUND"),
    (IMAGES, "List", images.ListImagesRequest(filters=BAD), "INVALID_ARGUMENT"),
    (IMAGES, "Create", images.CreateImageRequest(), "INVALID_ARGUMENT"),
    (IMAGES, "Create", images.CreateImageRequest(image=image(name="")), "INVALID_ARGUMENT"),
    (IMAGES, "Create", images.CreateImageRequest(image=images.Image(name="new")), "INVALID_ARGUMENT"),
    (IMAGES, "Create", images.CreateImageRequest(image=image(target=Descriptor(digest=NONE))), "INVALID_ARGUMENT"),
    (IMAGES, "Create", images.CreateImageRequest(image=image(labels=LONG)), "INVALID_ARGUMENT"),
    (IMAGES, "Create", images.CreateImageRequest(image=image(name="there")), "ALREADY_EXISTS"),
    (CONTAINERS, "Get", containers.GetContainerRequest(id="none"), "NOT_FOUND"),
    (CONTAINERS, "Update", containers.UpdateContainerRequest(container=record(id="none")), "NOT_FOUND"),
    (CONTAINERS, "Update", containers.UpdateContainerRequest(container=record(id="")), "INVALID_ARGUMENT"),
    (CONTAINERS, "Update", containers.UpdateContainerRequest(), "INVALID_ARGUMENT"),
    (*update(id="there"), "INVALID_ARGUMENT"),
    (CONTAINERS, "Delete", containers.DeleteContainerRequest(id="none"), "NOT_FOUND"),
    (CONTAINERS, "List", containers.ListContainersRequest(filters=BAD), "INVALID_ARGUMENT"),
    (CONTAINERS, "ListStream", containers.ListContainersRequest(filters=BAD), "INVALID_ARGUMENT"),
    (CONTAINERS, "Create", containers.CreateContainerRequest(), "INVALID_ARGUMENT"),
    (CONTAINERS, "Create", containers.CreateContainerRequest(container=record(id="a/b")), "INVALID_ARGUMENT"),
    (CONTAINERS, "Create", containers.CreateContainerRequest(container=record(id="x" * 77)), "INVALID_ARGUMENT"),
    (*create(id="y"), "INVALID_ARGUMENT"),
    (CONTAINERS, "Create", containers.CreateContainerRequest(container=record(snapshot_key="k")), "INVALID_ARGUMENT"),
    (CONTAINERS, "Create", containers.CreateContainerRequest(container=record(id="there")), "ALREADY_EXISTS"),
    (NAMESPACES, "Get", namespaces.GetNamespaceRequest(name="none"), "OK"),
    (NAMESPACES, "Create", namespaces.CreateNamespaceRequest(), "INVALID_ARGUMENT"),
    (*namespace("a/b"), "INVALID_ARGUMENT"),
    (*namespace(NS), "ALREADY_EXISTS"),
    (NAMESPACES, "Delete", namespaces.DeleteNamespaceRequest(name="none"), "NOT_FOUND"),
    (NAMESPACES, "Delete", namespaces.DeleteNamespaceRequest(name=NS), "FAILED_PRECONDITION"),
    (
        NAMESPACES,
        "Update",
        namespaces.UpdateNamespaceRequest(
            namespace=namespaces.Namespace(name=NS), update_mask=FieldMask(paths=["labels"])
        ),
        "INVALID_ARGUMENT",
    ),
    (LEASES, "Create", leases.CreateRequest(id="there"), "ALREADY_EXISTS"),
    (LEASES, "Delete", leases.DeleteRequest(id="none"), "NOT_FOUND"),
    (LEASES, "List", leases.ListRequest(filters=BAD), "INVALID_ARGUMENT"),
    (LEASES, "AddResource", leases.AddResourceRequest(id="none", resource=ITEM), "NOT_FOUND"),
    (LEASES, "AddResource", leases.AddResourceRequest(id="there"), "INVALID_ARGUMENT"),
    (*hold(type="x", id="y"), "UNIMPLEMENTED"),
    (*hold(type="content", id="y"), "INVALID_ARGUMENT"),
    (*hold(type="snapshots", id="y"), "INVALID_ARGUMENT"),
    (LEASES, "DeleteResource", leases.DeleteResourceRequest(id="there", resource=ITEM), "OK"),
    (LEASES, "DeleteResource", leases.DeleteResourceRequest(id="none", resource=ITEM), "NOT_FOUND"),
    (LEASES, "ListResources", leases.ListResourcesRequest(id="none"), "NOT_FOUND"),
    (*snap("Prepare", key="active"), "ALREADY_EXISTS"),
    (*snap("Prepare", key="n", labels={"containerd.io/snapshot.ref": "committed"}), "ALREADY_EXISTS"),
    (*snap("Prepare", key="n", parent="none"), "NOT_FOUND"),
    (*snap("Prepare", key="n", parent="active"), "INVALID_ARGUMENT"),
    (*snap("Prepare", key=""), "UNKNOWN"),
    (*snap("Prepare", key="n", snapshotter=""), "INVALID_ARGUMENT"),
    (*snap("Prepare", key="n", snapshotter="none"), "INVALID_ARGUMENT"),
    (*snap("View", key="view"), "ALREADY_EXISTS"),
    (*snap("View", key="n", parent="active"), "INVALID_ARGUMENT"),
    (*snap("Commit", key="none", name="n"), "NOT_FOUND"),
    (*snap("Commit", key="active", name="committed"), "ALREADY_EXISTS"),
    (*snap("Commit", key="view", name="n"), "FAILED_PRECONDITION"),
    (*snap("Mounts", key="none"), "NOT_FOUND"),
    (*snap("Mounts", key="committed"), "FAILED_PRECONDITION"),
    (*snap("Remove", key="none"), "NOT_FOUND"),
    (*snap("Remove", key="committed"), "FAILED_PRECONDITION"),
    (*snap("Stat", key="none"), "NOT_FOUND"),
    (*snap("Usage", key="none"), "NOT_FOUND"),
    (*snap("Update", info=snapshots.Info(name="none")), "NOT_FOUND"),
    (*snap("Update", info=snapshots.Info()), "INVALID_ARGUMENT"),
    (*snap("Update"), "INVALID_ARGUMENT"),
    (*snap("Update", info=snapshots.Info(name="active"), update_mask=FMASK), "INVALID_ARGUMENT"),
    (*snap("List", filters=BAD), "UNKNOWN"),
    (*snap("List", snapshotter="none"), "INVALID_ARGUMENT"),
    (TASKS, "Create", tasks.CreateTaskRequest(container_id="none"), "NOT_FOUND"),
    (TASKS, "Get", tasks.GetRequest(container_id="there"), "NOT_FOUND"),
    (TASKS, "Wait", tasks.WaitRequest(container_id="there"), "NOT_FOUND"),
    (TASKS, "Kill", tasks.KillRequest(container_id="there", signal=9), "NOT_FOUND"),
    (TASKS, "Exec", tasks.ExecProcessRequest(container_id="none", exec_id="e"), "NOT_FOUND"),
    (TASKS, "Checkpoint", tasks.CheckpointTaskRequest(container_id="there"), "NOT_FOUND"),
    (TASKS, "Metrics", tasks.MetricsRequest(filters=BAD), "UNKNOWN"),
    (TASKS, "List", tasks.ListTasksRequest(filter="==="), "OK"),
    (EVENTS, "Publish", events.PublishRequest(topic="x", event=AnyMessage()), "INVALID_ARGUMENT"),
    (EVENTS, "Publish", events.PublishRequest(topic="/x"), "INVALID_ARGUMENT"),
    (EVENTS, "Forward", events.ForwardRequest(), "INVALID_ARGUMENT"),
    (EVENTS, "Subscribe", events.SubscribeRequest(filters=BAD), "UNKNOWN"),
    (INTROSPECTION, "Plugins", introspection.PluginsRequest(filters=BAD), "INVALID_ARGUMENT"),
    (INTROSPECTION, "PluginInfo", introspection.PluginInfoRequest(type="x", id="y"), "NOT_FOUND"),
    (
        INTROSPECTION,
        "PluginInfo",
        introspection.PluginInfoRequest(type="io.containerd.gc.v1", id="scheduler", options=AnyMessage()),
        "UNIMPLEMENTED",
    ),
    (
        INTROSPECTION,
        "PluginInfo",
        introspection.PluginInfoRequest(type="io.containerd.grpc.v1", id="cri", options=AnyMessage()),
        "FAILED_PRECONDITION",
    ),
    (service("streaming"), "Stream", AnyMessage(), "UNKNOWN"),
    (service("streaming"), "Stream", AnyMessage(type_url=PREFIXED), "UNKNOWN"),
    (MOUNTS, "Info", mounts.InfoRequest(name="none"), "NOT_FOUND"),
    (MOUNTS, "Deactivate", mounts.DeactivateRequest(name="none"), "NOT_FOUND"),
    (MOUNTS, "Activate", mounts.ActivateRequest(name="n", mounts=[Mount(type="bind", source="/tmp")]), "UNIMPLEMENTED"),
    (DIFF, "Apply", diff.ApplyRequest(), "INVALID_ARGUMENT"),
    (*apply(LAYER, NONE), "NOT_FOUND"),
    (*apply("text/plain", BLOB), "UNKNOWN"),
    (DIFF, "Diff", diff.DiffRequest(media_type="text/plain"), "UNIMPLEMENTED"),
    ("grpc.health.v1.Health", "Check", health.HealthCheckRequest(service="none"), "NOT_FOUND"),
    ("grpc.health.v1.Health", "Check", health.HealthCheckRequest(), "OK"),
]  # fmt: skip


def outcome(stub: Stub, method: str, request: Any) -> tuple[str, str]:
    """The (code name, message) of a call of any kind."""
    kind = stub._service.methods_by_name[method]
    argument = iter([request]) if kind.client_streaming else request
    try:
        answer = getattr(stub, method)(argument, timeout=10)
        if kind.server_streaming:
            list(answer)
    except grpc.RpcError as error:
        return error.code().name, error.details() or ""
    return "OK", ""


@pytest.mark.parametrize(
    ("name", "method", "request_", "code"),
    ROWS,
    ids=[f"{i}-{r[0].split('.')[-1]}.{r[1]}-{r[3]}" for i, r in enumerate(ROWS)],
)
def test_the_contract(channel: grpc.Channel, name: str, method: str, request_: Any, code: str) -> None:
    got, message = outcome(Stub(channel, name, namespace=NS), method, request_)
    assert got == code, message
    assert "\n" not in message
    assert "Traceback" not in message
    assert code == "OK" or message


NAMESPACED = [CONTENT, IMAGES, CONTAINERS, LEASES, TASKS, service("snapshots"), MOUNTS]
UNMAPPED = {(service("snapshots"), "List"), (TASKS, "Metrics")}


@pytest.mark.parametrize("name", NAMESPACED)
@pytest.mark.parametrize("namespace", ["", "a/b"])
def test_every_namespaced_method_asks_for_its_namespace(channel: grpc.Channel, name: str, namespace: str) -> None:
    stub = Stub(channel, name, metadata=(("containerd-namespace", namespace),))
    for method in stub._service.methods:
        request: Any = message_factory.GetMessageClass(method.input_type)()
        for field in ("snapshotter", "ref"):
            if field in method.input_type.fields_by_name:
                setattr(request, field, "native")
        wanted = "INVALID_ARGUMENT" if namespace else "FAILED_PRECONDITION"
        wanted = "UNKNOWN" if (name, method.name) in UNMAPPED else wanted
        assert outcome(stub, method.name, request)[0] == wanted, method.full_name


def test_what_needs_no_namespace(channel: grpc.Channel) -> None:
    for name, method, request in (
        (NAMESPACES, "List", namespaces.ListNamespacesRequest()),
        (service("version"), "Version", Empty()),
        (INTROSPECTION, "Server", Empty()),
        (INTROSPECTION, "Plugins", introspection.PluginsRequest()),
    ):
        assert outcome(Stub(channel, name), method, request) == ("OK", "")


@pytest.mark.parametrize(
    ("name", "method", "request_"),
    [
        (CONTENT, "Write", content.WriteContentRequest(ref="leased", action=content.COMMIT, data=b"l")),
        snap("Prepare", key="leased"),
        snap("View", key="leased2"),
        (IMAGES, "Create", images.CreateImageRequest(image=image(name="leased"))),
    ],
)
def test_a_lease_that_does_not_exist_is_not_found(channel: grpc.Channel, name: str, method: str, request_: Any) -> None:
    stub = Stub(channel, name, namespace=NS, metadata=(("containerd-lease", "none"),))
    assert outcome(stub, method, request_)[0] == "NOT_FOUND"


def test_an_open_ref_is_unavailable_and_a_stream_id_is_taken_once(channel: grpc.Channel) -> None:
    import queue

    stub = Stub(channel, CONTENT, namespace=NS)
    sent: queue.Queue[Any] = queue.Queue()
    sent.put(content.WriteContentRequest(ref="busy"))
    call = stub.Write(iter(sent.get, None))
    next(call)
    assert outcome(stub, "Write", content.WriteContentRequest(ref="busy"))[0] == "UNAVAILABLE"
    sent.put(None)
    list(call)
    assert outcome(stub, "Write", content.WriteContentRequest(ref="busy"))[0] == "OK"

    streams = Stub(channel, service("streaming"), namespace=NS)
    init = AnyMessage(type_url=streaming.StreamInit.DESCRIPTOR.full_name, value=b"\x0a\x01s")
    sent.put(init)
    opened = streams.Stream(iter(sent.get, None))
    assert next(opened).type_url == "google.protobuf.Empty"
    assert outcome(streams, "Stream", init)[0] == "UNKNOWN"
    sent.put(None)
    opened.cancel()


def test_a_message_over_sixteen_mebibytes_is_resource_exhausted(channel: grpc.Channel) -> None:
    request = content.WriteContentRequest(ref="large", action=content.WRITE, data=bytes(16 << 20))
    assert outcome(Stub(channel, CONTENT, namespace=NS), "Write", request)[0] == "RESOURCE_EXHAUSTED"


def test_every_method_survives_an_empty_message(channel: grpc.Channel) -> None:
    for name in [*NAMESPACED, NAMESPACES, LEASES, INTROSPECTION, DIFF]:
        stub = Stub(channel, name, namespace="empty")
        for method in stub._service.methods:
            code, message = outcome(stub, method.name, message_factory.GetMessageClass(method.input_type)())
            assert code != "INTERNAL", (method.full_name, message)
