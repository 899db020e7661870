"""The Transfer service as newer clients use it: streams opened first, then one call that moves the image."""

from __future__ import annotations

import base64
import io
import queue
import subprocess
import tarfile
import threading
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from pycontainerd.api.images.v1 import images_pb2
from pycontainerd.api.streaming.v1 import streaming_pb2
from pycontainerd.api.transfer.v1 import transfer_pb2
from pycontainerd.api.types.platform_pb2 import Platform
from pycontainerd.api.types.transfer import imagestore_pb2 as store_pb2
from pycontainerd.api.types.transfer import importexport_pb2 as archive_pb2
from pycontainerd.api.types.transfer import progress_pb2, registry_pb2
from pycontainerd.api.types.transfer.streaming_pb2 import Data, WindowUpdate
from tests.interop.ctr import archive
from tests.support.fakeregistry import Answer, Request, fake_registry
from tests.support.images import busybox
from tests.support.registry import registry
from tests.support.stubs import Stub, connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from google.protobuf.message import Message

    from tests.support.daemon import RunningDaemon

pytestmark = [pytest.mark.root, pytest.mark.timeout(90)]
NAME = "docker.io/library/moved:1"


def pack(message: Message) -> AnyMessage:
    return AnyMessage(type_url=message.DESCRIPTOR.full_name, value=message.SerializeToString())


class Stream:
    """A client's end of one stream."""

    def __init__(self, channel: grpc.Channel, namespace: str, id: str) -> None:
        self._out: queue.Queue[AnyMessage | None] = queue.Queue()
        self.id = id
        self.call = Stub(channel, "containerd.services.streaming.v1.Streaming", namespace=namespace).Stream(
            iter(self._out.get, None), timeout=None
        )
        self.send(streaming_pb2.StreamInit(id=id))
        assert next(self.call).type_url == "google.protobuf.Empty"

    def send(self, message: Message) -> None:
        self._out.put(pack(message))

    def half_close(self) -> None:
        self._out.put(None)

    def upload(self, data: bytes) -> threading.Thread:
        """Send ``data`` within the windows that the server grants."""

        def work() -> None:
            window = position = 0
            while position < len(data):
                if window <= 0:
                    window += WindowUpdate.FromString(next(self.call).value).update
                piece = data[position : position + min(window, 32768)]
                self.send(Data(data=piece))
                window -= len(piece)
                position += len(piece)
            self.half_close()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread

    def download(self) -> bytes:
        """All that the server sends, granting it windows."""
        self.send(WindowUpdate(update=1 << 16))
        got = bytearray()
        for message in self.call:
            data = Data.FromString(message.value).data
            assert len(data) <= 32768
            got += data
            self.send(WindowUpdate(update=len(data)))
        return bytes(got)

    def progress(self) -> list[progress_pb2.Progress]:
        """All reports, until the server closes the stream."""
        return [progress_pb2.Progress.FromString(message.value) for message in self.call]


@pytest.fixture(scope="module")
def channel(shared_daemon: RunningDaemon) -> Iterator[grpc.Channel]:
    with connect(shared_daemon.address) as opened:
        yield opened


def move(channel: grpc.Channel, namespace: str, source: Message, destination: Message, **more: Any) -> Any:
    options = transfer_pb2.TransferOptions(progress_stream=more.pop("progress", ""))
    request = transfer_pb2.TransferRequest(source=pack(source), destination=pack(destination), options=options)
    service = Stub(channel, "containerd.services.transfer.v1.Transfer", namespace=namespace)
    return service.Transfer(request, **{"timeout": 60, **more})


def names(channel: grpc.Channel, namespace: str) -> list[str]:
    answer = Stub(channel, "containerd.services.images.v1.Images", namespace=namespace).List(
        images_pb2.ListImagesRequest()
    )
    return [image.name for image in answer.images]


def here(**more: Any) -> store_pb2.ImageStore:
    unpack = store_pb2.UnpackConfiguration(platform=Platform(os="linux", architecture="amd64"))
    return store_pb2.ImageStore(unpacks=[unpack], **more)


def imported(channel: grpc.Channel, namespace: str, tmp_path: Path) -> None:
    data = archive(tmp_path / f"{namespace}.tar", NAME).read_bytes()
    stream = Stream(channel, namespace, "in")
    sending = stream.upload(data)
    move(channel, namespace, archive_pb2.ImageImportStream(stream="in"), here(name=NAME))
    sending.join(10)
    assert list(stream.call) == []


def test_import_with_progress_then_tag_and_export(channel: grpc.Channel, tmp_path: Path) -> None:
    data = archive(tmp_path / "in.tar", NAME).read_bytes()
    stream, progress = Stream(channel, "moves", "in"), Stream(channel, "moves", "progress")
    sending = stream.upload(data)
    move(
        channel, "moves", archive_pb2.ImageImportStream(stream="in"), here(name=NAME, labels={"a": "b"}),
        progress="progress",
    )  # fmt: skip
    sending.join(10)
    events = [report.event for report in progress.progress()]
    assert events[0] == "Importing"
    assert events[-1] == "Completed import"
    assert NAME in names(channel, "moves")

    other = "docker.io/library/moved:2"
    move(channel, "moves", store_pb2.ImageStore(name=NAME), store_pb2.ImageStore(name=other))
    assert other in names(channel, "moves")

    out = Stream(channel, "moves", "out")
    result: list[bytes] = []
    receiving = threading.Thread(target=lambda: result.append(out.download()), daemon=True)
    receiving.start()
    move(channel, "moves", store_pb2.ImageStore(name=other), archive_pb2.ImageExportStream(stream="out"))
    receiving.join(20)
    with tarfile.open(fileobj=io.BytesIO(result[0])) as tar:
        assert {"oci-layout", "index.json", "manifest.json"} <= set(tar.getnames())


def test_pull_with_credentials_is_asked_for_nothing_by_an_open_registry(channel: grpc.Channel, tmp_path: Path) -> None:
    with registry(tmp_path / "registry") as server:
        name = f"{server.host}/library/moved:1"
        source = f"docker-archive:{archive(tmp_path / 'push.tar', NAME)}"
        command = ["skopeo", "copy", "-q", "--dest-tls-verify=false", source, f"docker://{name}"]
        subprocess.run(command, check=True)
        auth, progress = Stream(channel, "pulls", "auth"), Stream(channel, "pulls", "progress")
        resolver = registry_pb2.RegistryResolver(auth_stream="auth", default_scheme="http")
        registry_source = registry_pb2.OCIRegistry(reference=name, resolver=resolver)
        move(channel, "pulls", registry_source, here(name=name), progress="progress")
        assert list(auth.call) == []
        events = {report.event for report in progress.progress()}
    assert {"complete"} <= events
    assert names(channel, "pulls") == [name]


def test_credentials_are_asked_for_on_the_auth_stream(channel: grpc.Channel) -> None:
    wanted = "Basic " + base64.b64encode(b"me:secret").decode()
    with fake_registry() as server:
        name = server.add(busybox(), "private/busybox")

        def guard(request: Request) -> Answer | None:
            if request.headers.get("authorization") == wanted:
                return None
            return Answer(401, headers={"WWW-Authenticate": 'Basic realm="here"'})

        server.hooks.append(guard)
        auth = Stream(channel, "private", "auth")
        asked: list[registry_pb2.AuthRequest] = []

        def answer() -> None:
            for message in auth.call:
                asked.append(registry_pb2.AuthRequest.FromString(message.value))
                kind = registry_pb2.AuthType.CREDENTIALS
                auth.send(registry_pb2.AuthResponse(authType=kind, username="me", secret="secret"))

        answering = threading.Thread(target=answer, daemon=True)
        answering.start()
        resolver = registry_pb2.RegistryResolver(auth_stream="auth", default_scheme="http")
        move(channel, "private", registry_pb2.OCIRegistry(reference=name, resolver=resolver), here(name=name))
        answering.join(10)
    assert names(channel, "private") == [name]
    assert asked[0].host == server.host
    assert 'Basic realm="here"' in asked[0].wwwauthenticate


def test_a_pull_nobody_waits_for_stops(channel: grpc.Channel) -> None:
    with fake_registry() as server:
        name = server.add(busybox("zstd"), "slow/busybox")  # not here yet, so it has to be fetched
        entered = threading.Event()

        def slow(request: Request) -> Answer | None:
            if "/blobs/" in request.path:
                entered.set()
                time.sleep(2)
            return None

        server.hooks.append(slow)
        with pytest.raises(grpc.RpcError):
            move(channel, "slow", registry_pb2.OCIRegistry(reference=name), here(name=name), timeout=1)
        assert entered.is_set()
        time.sleep(3)
    assert names(channel, "slow") == []


def test_the_echo_pair(channel: grpc.Channel) -> None:
    data = bytes(range(256)) * 2000
    stream, out = Stream(channel, "echo", "in"), Stream(channel, "echo", "out")
    sending = stream.upload(data)
    result: list[bytes] = []
    receiving = threading.Thread(target=lambda: result.append(out.download()), daemon=True)
    receiving.start()
    source, destination = archive_pb2.ImageImportStream(stream="in"), archive_pb2.ImageExportStream(stream="out")
    move(channel, "echo", source, destination)
    sending.join(10)
    receiving.join(10)
    assert result == [data]


@pytest.mark.parametrize(
    ("source", "destination", "progress", "code"),
    [
        (store_pb2.ImageStore(name="none"), archive_pb2.ImageExportStream(stream="none"), "", "NOT_FOUND"),
        (store_pb2.ImageStore(), archive_pb2.ImageImportStream(), "", "UNIMPLEMENTED"),
        (store_pb2.ImageStore(), store_pb2.ImageStore(), "none", "NOT_FOUND"),
        (store_pb2.ImageStore(), Platform(), "", "UNKNOWN"),
        (store_pb2.ImageStore(name="no/such:1"), store_pb2.ImageStore(name="x:1"), "", "NOT_FOUND"),
    ],
)
def test_mistakes(channel: grpc.Channel, source: Message, destination: Message, progress: str, code: str) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        move(channel, "mistakes", source, destination, progress=progress)
    assert raised.value.code().name == code, raised.value.details()


def test_a_torn_archive_is_refused_and_leaves_nothing(channel: grpc.Channel, tmp_path: Path) -> None:
    data = archive(tmp_path / "in.tar", NAME).read_bytes()
    for case, piece in {"cut": data[: len(data) // 2], "empty": b"", "noise": b"noise" * 10_000}.items():
        stream = Stream(channel, "torn", case)
        sending = stream.upload(piece)
        with pytest.raises(grpc.RpcError) as raised:
            move(channel, "torn", archive_pb2.ImageImportStream(stream=case), here(name=NAME))
        assert raised.value.code().name == "INVALID_ARGUMENT", (case, raised.value.details())
        stream.call.cancel()
        sending.join(10)
    assert names(channel, "torn") == []


def test_a_client_that_goes_away_stops_the_transfer(channel: grpc.Channel) -> None:
    stream = Stream(channel, "gone", "in")
    source, target = archive_pb2.ImageImportStream(stream="in"), here(name=NAME)
    started = time.monotonic()
    with pytest.raises(grpc.RpcError) as raised:
        move(channel, "gone", source, target, timeout=1)
    assert raised.value.code().name == "DEADLINE_EXCEEDED"
    # The engine was waiting for the stream; it must not go on doing so.
    assert [message.type_url for message in stream.call] == [WindowUpdate.DESCRIPTOR.full_name]
    assert time.monotonic() - started < 20
    Stream(channel, "gone", "in").call.cancel()
