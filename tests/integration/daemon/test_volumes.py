"""The Volumes service over gRPC: answers, streams, and what a cut stream leaves."""

from __future__ import annotations

import io
import os
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from pycontainerd.api.volumes.v1 import volumes_pb2 as pb
from tests.support.stubs import Stub, connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.daemon import RunningDaemon

pytestmark = pytest.mark.root
SERVICE = "pycontainerd.volumes.v1.Volumes"


@pytest.fixture
def volumes(shared_daemon: RunningDaemon) -> Iterator[Stub]:
    with connect(shared_daemon.address) as channel:
        stub = Stub(channel, SERVICE, namespace="vol")
        yield stub
        stub.Prune(pb.PruneRequest(all=True))
        assert not stub.List(pb.ListRequest()).volumes


def test_a_volume_as_it_is_told(volumes: Stub, shared_daemon: RunningDaemon) -> None:
    made = volumes.Create(pb.CreateRequest(name="html", labels={"tier": "web"})).volume
    assert (made.driver, made.mountpoint) == ("local", f"{shared_daemon.root}/volumes/vol/html/_data")
    assert not made.HasField("usage")
    found = volumes.Get(pb.GetRequest(name="html", usage=True)).volume
    assert (found.created_at, found.labels) == (made.created_at, {"tier": "web"})
    assert found.usage.inodes == 1
    assert [volume.name for volume in volumes.List(pb.ListRequest(filters=["label=tier=web"])).volumes] == ["html"]
    assert volumes.Rename(pb.RenameRequest(name="html", new_name="www")).volume.name == "www"
    assert volumes.Create(pb.CreateRequest()).volume.anonymous
    assert len(volumes.Prune(pb.PruneRequest()).names) == 1
    volumes.Remove(pb.RemoveRequest(name="www"))


def test_codes(volumes: Stub) -> None:
    volumes.Create(pb.CreateRequest(name="html"))
    for code, call in (
        ("NOT_FOUND", lambda: volumes.Get(pb.GetRequest(name="nosuch"))),
        ("NOT_FOUND", lambda: volumes.Remove(pb.RemoveRequest(name="nosuch"))),
        ("NOT_FOUND", lambda: list(volumes.Export(pb.ExportRequest(name="nosuch")))),
        ("NOT_FOUND", lambda: volumes.Clone(pb.CloneRequest(source="nosuch", name="copy"))),
        ("INVALID_ARGUMENT", lambda: volumes.Create(pb.CreateRequest(name="a/b"))),
        ("INVALID_ARGUMENT", lambda: volumes.Create(pb.CreateRequest(name="ok", driver="nosuch"))),
        ("INVALID_ARGUMENT", lambda: volumes.List(pb.ListRequest(filters=["what"]))),
        ("INVALID_ARGUMENT", lambda: list(volumes.Export(pb.ExportRequest(name="html", compression="rar")))),
        ("INVALID_ARGUMENT", lambda: volumes.Import(iter([]))),
        ("INVALID_ARGUMENT", lambda: volumes.Import(iter([pb.ImportRequest(data=b"x")]))),
        ("INVALID_ARGUMENT", lambda: volumes.Import(iter([pb.ImportRequest(volume=pb.CreateRequest())]))),
        ("FAILED_PRECONDITION", lambda: volumes.Clone(pb.CloneRequest(source="html", name="html"))),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call()
        assert caught.value.code().name == code


def test_an_archive_there_and_back(volumes: Stub) -> None:
    data = Path(volumes.Create(pb.CreateRequest(name="db")).volume.mountpoint)
    (data / "rows").write_bytes(os.urandom(5 << 20))

    archive = b"".join(part.data for part in volumes.Export(pb.ExportRequest(name="db", compression="gzip")))
    pieces = [archive[at : at + 100_000] for at in range(0, len(archive), 100_000)]
    first = pb.ImportRequest(volume=pb.CreateRequest(name="copy", labels={"a": "b"}), data=pieces[0])
    made = volumes.Import(iter([first, *(pb.ImportRequest(data=piece) for piece in pieces[1:])])).volume

    assert made.labels == {"a": "b"}
    assert (Path(made.mountpoint) / "rows").read_bytes() == (data / "rows").read_bytes()


def test_a_reader_that_leaves_ends_the_work(volumes: Stub, shared_daemon: RunningDaemon) -> None:
    data = Path(volumes.Create(pb.CreateRequest(name="db")).volume.mountpoint)
    (data / "big").write_bytes(bytes(64 << 20))
    before = descriptors(shared_daemon)

    stream = volumes.Export(pb.ExportRequest(name="db"))
    next(stream)
    stream.cancel()

    volumes.Remove(pb.RemoveRequest(name="db"))
    deadline = time.monotonic() + 10
    while descriptors(shared_daemon) > before:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_writer_that_leaves_makes_no_volume(volumes: Stub, shared_daemon: RunningDaemon) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("big")
        entry.size = 8 << 20
        tar.addfile(entry, io.BytesIO(bytes(entry.size)))

    def cut() -> Iterator[pb.ImportRequest]:
        yield pb.ImportRequest(volume=pb.CreateRequest(name="half"), data=buffer.getvalue()[: 1 << 20])
        raise ConnectionError("gone")

    with pytest.raises(grpc.RpcError):
        volumes.Import(cut())

    deadline = time.monotonic() + 10
    while os.path.exists(f"{shared_daemon.root}/volumes/vol/half"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_refused_archive_is_answered_although_more_is_being_sent(volumes: Stub) -> None:
    def endless() -> Iterator[pb.ImportRequest]:
        yield pb.ImportRequest(volume=pb.CreateRequest(name="bad"), data=b"this is no archive" * 1000)
        for _ in range(2000):
            yield pb.ImportRequest(data=bytes(100_000))

    with pytest.raises(grpc.RpcError) as caught:
        volumes.Import(endless())
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def descriptors(daemon: RunningDaemon) -> int:
    assert daemon.process is not None
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))
