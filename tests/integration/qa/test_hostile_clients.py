"""Clients that send rubbish, hang about, read slowly or vanish: the others notice nothing and nothing is left."""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.content.v1 import content_pb2 as content
from pycontainerd.api.events.v1 import events_pb2 as events
from tests.support.daemon import ROOT, RunningDaemon
from tests.support.stubs import Stub, connect

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root
VERSION = "containerd.services.version.v1.Version"
CONTENT = "containerd.services.content.v1.Content"
EVENTS = "containerd.services.events.v1.Events"


@pytest.fixture
def channel(shared_daemon: RunningDaemon) -> Iterator[grpc.Channel]:
    with connect(shared_daemon.address) as opened:
        yield opened


def descriptors(daemon: RunningDaemon) -> int:
    """How many descriptors the daemon has open."""
    assert daemon.process is not None
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))


def healthy(daemon: RunningDaemon) -> None:
    """It answers, quickly, on both sockets, and has logged no bug."""
    begun = time.monotonic()
    with connect(daemon.address) as opened:
        Stub(opened, VERSION).Version(Empty(), timeout=5)
    daemon.ctr("containers", "ls")
    with plug(daemon.ttrpc) as client:
        client.sendall(struct.pack(">IIBB", 0, 1, 1, 0))
        assert b"service" in client.recv(100)
    assert time.monotonic() - begun < 5
    assert "Traceback" not in daemon.output()


def plug(path: str) -> socket.socket:
    """A connection with a time limit."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(5)
    client.connect(path)
    return client


def settled(daemon: RunningDaemon, limit: int) -> None:
    """Wait until no more than ``limit`` descriptors are open."""
    deadline = time.monotonic() + 10
    while descriptors(daemon) > limit:
        assert time.monotonic() < deadline, f"{descriptors(daemon)} descriptors are open, {limit} were expected"
        time.sleep(0.05)


def test_rubbish_on_both_sockets(shared_daemon: RunningDaemon) -> None:
    healthy(shared_daemon)
    before, rng = descriptors(shared_daemon), random.Random(1)
    with contextlib.ExitStack() as open_ones:
        for path in (shared_daemon.address, shared_daemon.ttrpc):
            for number in range(100):
                client = plug(path)
                with contextlib.suppress(OSError):
                    client.sendall(rng.randbytes(rng.choice([1, 9, 10, 11, 100, 5000])))
                open_ones.callback(client.close)
                if number % 2:
                    client.close()
        healthy(shared_daemon)
    settled(shared_daemon, before + 4)


def test_a_thousand_idle_connections(shared_daemon: RunningDaemon) -> None:
    healthy(shared_daemon)
    before = descriptors(shared_daemon)
    with contextlib.ExitStack() as open_ones:
        for number in range(1000):
            open_ones.enter_context(plug((shared_daemon.address, shared_daemon.ttrpc)[number % 2]))
        healthy(shared_daemon)
    settled(shared_daemon, before + 4)


@pytest.mark.parametrize(
    ("header", "payload", "code"),
    [
        ((0xFFFFFFFF, 1, 1, 0), b"", 8),  # RESOURCE_EXHAUSTED: its bytes are never waited for
        (((4 << 20) + 1, 1, 1, 0), bytes((4 << 20) + 1), 8),
        ((3, 1, 1, 0), b"\xff\xff\xff", 3),
        ((0, 2, 1, 0), b"", 3),
        ((0, 0, 1, 0), b"", 3),
        ((4, 1, 3, 0), b"data", 3),
    ],
)
def test_odd_frames(shared_daemon: RunningDaemon, header: tuple[int, int, int, int], payload: bytes, code: int) -> None:
    with plug(shared_daemon.ttrpc) as client:
        client.sendall(struct.pack(">IIBB", *header) + payload)
        answer = client.recv(4096)
    length, stream, kind, _ = struct.unpack(">IIBB", answer[:10])
    assert (stream, kind) == (header[1], 2)
    assert length == len(answer) - 10
    assert answer[10] == 0x0A  # a Response with a status …
    assert answer[12:14] == bytes([0x08, code])  # … of this code
    healthy(shared_daemon)


def test_ten_thousand_label_bytes(channel: grpc.Channel) -> None:
    from pycontainerd.api.images.v1 import images_pb2 as images
    from pycontainerd.api.types.descriptor_pb2 import Descriptor

    target = Descriptor(media_type="m", digest="sha256:" + "0" * 64, size=1)
    stub = Stub(channel, "containerd.services.images.v1.Images", namespace="qa")
    for text in ("v" * 10_000, "☃" * 10_000, "%" * 10_000):
        with pytest.raises(grpc.RpcError) as failure:
            stub.Create(images.CreateImageRequest(image=images.Image(name=text, labels={"k": text}, target=target)))
        assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert len(failure.value.details() or "") < 2100
    with pytest.raises(grpc.RpcError) as failure:
        stub.Get(images.GetImageRequest(name="☃" * 10_000))
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND
    assert (failure.value.details() or "").endswith("not found")


def test_a_subscriber_that_never_reads_costs_the_others_nothing(
    shared_daemon: RunningDaemon, channel: grpc.Channel
) -> None:
    options = [("grpc.http2.lookahead_bytes", 0), ("grpc.http2.bdp_probe", 0)]
    with grpc.insecure_channel(f"unix:{shared_daemon.address}", options=options) as lazy:
        stream = Stub(lazy, EVENTS).Subscribe(events.SubscribeRequest(), timeout=60)
        publisher = Stub(channel, EVENTS, namespace="qa")
        event = AnyMessage(type_url="containerd.events.NamespaceDelete", value=b"\x0a\xfc\x03" + b"n" * 508)
        begun = time.monotonic()
        for number in range(5000):
            publisher.Publish(events.PublishRequest(topic=f"/qa/{number}", event=event), timeout=5)
        assert time.monotonic() - begun < 30
        healthy(shared_daemon)
        stream.cancel()


def test_a_writer_that_vanishes_frees_its_ref(shared_daemon: RunningDaemon, channel: grpc.Channel) -> None:
    import queue

    with connect(shared_daemon.address) as doomed:
        sent: queue.Queue[Any] = queue.Queue()
        call = Stub(doomed, CONTENT, namespace="qa").Write(iter(sent.get, None))
        sent.put(content.WriteContentRequest(ref="held", action=content.WRITE, data=b"abc"))
        next(call)
    sent.put(None)
    deadline = time.monotonic() + 10
    stub = Stub(channel, CONTENT, namespace="qa")
    while True:
        try:
            answers = list(stub.Write(iter([content.WriteContentRequest(ref="held")])))
            break
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    assert answers[0].offset == 3
    stub.Abort(content.AbortRequest(ref="held"))


# -- every method, anything in its request --------------------------------------------------------------------------

TEXTS = (
    "", "x", "qa", "native", "overlayfs", "a/b", "../..", "/", "\0", "x" * 5000, "sha256:" + "0" * 64, "-1", "labels.x",
    "é☃", "a b", "==,", "name==x", "docker.io/library/x:latest", "io.containerd.runc.v2", "10.0.0.0/24", "999.1.1.1/99",
    "types.containerd.io/opencontainers/runtime-spec/1/Spec", "containerd.types.transfer.ImageStore", "file:///dev/null",
)  # fmt: skip
BYTES = (b"", b"{}", b"[]", b"null", b'{"process":null}', b"\xff\xfe", b"\x0a\x05ab", b'{"linux":5,"root":[]}')
NUMBERS = (0, 1, -1, 2, 9, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63), 65536)
STREAMS = {"Subscribe", "Watch", "Wait", "Attach", "Read", "ServerReflectionInfo"}
"""Methods that may go on for as long as they like."""


class Filler:
    """Fills messages with anything that fits their fields."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def message(self, message: Any, depth: int = 0) -> Any:
        for field in message.DESCRIPTOR.fields:
            if self.rng.random() < 0.4 or depth > 4:
                continue
            if field.message_type and field.message_type.GetOptions().map_entry:
                self._map(getattr(message, field.name), field.message_type.fields_by_name["value"], depth)
            elif field.message_type:
                value = getattr(message, field.name)
                if field.is_repeated:
                    value = value.add()
                else:
                    value.SetInParent()
                self.message(value, depth + 1)
            elif field.is_repeated:
                getattr(message, field.name).extend(self._scalar(field) for _ in range(self.rng.randrange(3)))
            else:
                setattr(message, field.name, self._scalar(field))
        return message

    def _map(self, value: Any, kind: Any, depth: int) -> None:
        for _ in range(self.rng.randrange(3)):
            if kind.message_type:
                self.message(value[self.rng.choice(TEXTS)], depth + 1)
            else:
                value[self.rng.choice(TEXTS)] = self._scalar(kind)

    def _scalar(self, field: Any) -> Any:
        if field.type == Field.TYPE_STRING:
            return self.rng.choice(TEXTS)
        if field.type == Field.TYPE_BYTES:
            return self.rng.choice(BYTES)
        if field.type == Field.TYPE_BOOL:
            return self.rng.random() < 0.5
        if field.type == Field.TYPE_ENUM:
            return self.rng.choice((0, 1, 2, 3, 99))
        if field.type in (Field.TYPE_DOUBLE, Field.TYPE_FLOAT):
            return self.rng.choice((0.0, -1.0, float("nan"), float("inf")))
        number = self.rng.choice(NUMBERS)
        if field.type in (Field.TYPE_UINT32, Field.TYPE_FIXED32):
            return number % 2**32
        if field.type in (Field.TYPE_UINT64, Field.TYPE_FIXED64):
            return number % 2**64
        return (number + 2**31) % 2**32 - 2**31 if field.cpp_type == Field.CPPTYPE_INT32 else number


def services(channel: grpc.Channel) -> list[Any]:
    """The descriptors of everything the daemon serves, by its own word; our networks excepted, which touch the host."""
    from pycontainerd.api.grpc.reflection.v1alpha import reflection_pb2 as reflection

    for path in (ROOT / "pycontainerd/api").rglob("*_pb2.py"):
        importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    call = Stub(channel, "grpc.reflection.v1alpha.ServerReflection").ServerReflectionInfo
    answer = next(call(iter([reflection.ServerReflectionRequest(list_services="")])))
    names = [service.name for service in answer.list_services_response.service]
    pool = descriptor_pool.Default()
    return [pool.FindServiceByName(name) for name in names if "networks" not in name and "reflection" not in name]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(4))
def test_any_request_has_an_answer(shared_daemon: RunningDaemon, channel: grpc.Channel, seed: int) -> None:
    filler, asked = Filler(seed), 0
    for service in services(channel):
        stub = Stub(channel, service.full_name, namespace="fuzz")
        for method in service.methods:
            asked += 1
            request = message_factory.GetMessageClass(method.input_type)()
            code, said = _ask(stub, method, filler.message(request) if seed else request)
            told = f"{method.full_name}: {code} {said[:300]}\n{str(request)[:1000]}"
            assert code not in {"INTERNAL", "UNAVAILABLE"}, told
            assert code != "DEADLINE_EXCEEDED" or method.name in STREAMS, told
            assert code in {"OK", "DEADLINE_EXCEEDED"} or (said and "\n" not in said and len(said) <= 2048), told
    assert asked > 100
    healthy(shared_daemon)


def _ask(stub: Stub, method: Any, request: Any) -> tuple[str, str]:
    limit = 0.3 if method.name in STREAMS else 15
    try:
        answer = getattr(stub, method.name)(iter([request]) if method.client_streaming else request, timeout=limit)
        if method.server_streaming:
            for _ in zip(range(50), answer, strict=False):
                pass
            answer.cancel()
    except grpc.RpcError as error:
        return error.code().name, error.details() or ""
    return "OK", ""
