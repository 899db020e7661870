"""Files of containers, through confined workers: nothing outside is seen, whatever links the container has."""

from __future__ import annotations

import io
import os
import tarfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pycontainerd.core.archive import Bind, ChangeKind, View
from pycontainerd.core.errors import FailedPrecondition, InvalidArgument, NotFound
from pycontainerd.core.values import Mount
from pycontainerd.images.files import WorkerFiles
from pycontainerd.images.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root


@pytest.fixture
def files(tmp_path: Path) -> Iterator[WorkerFiles]:
    workers = Workers(str(tmp_path / "scratch"))
    yield WorkerFiles(workers)
    workers.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A container's tree, and a secret beside it."""
    (tmp_path / "secret").write_text("not yours")
    top = tmp_path / "root"
    (top / "d/e").mkdir(parents=True)
    (top / "d/f").write_text("file")
    (top / "d/absolute").symlink_to(tmp_path / "secret")
    (top / "d/up").symlink_to("../../../../../../../../secret")
    (top / "d/inner").symlink_to("/d/f")
    (top / "loop").symlink_to("loop")
    return top


def _views(root: Path) -> list[View]:
    return [View(root=str(root)), View(mounts=(Mount("bind", str(root), "", ("rbind", "rw")),))]


def _packed(files: WorkerFiles, view: View, path: bytes, *, follow: bool = False) -> dict[str, bytes]:
    reading, writing = os.pipe()
    parts: list[bytes] = []

    def collect() -> None:
        with open(reading, "rb") as file:
            parts.append(file.read())

    thread = threading.Thread(target=collect)
    thread.start()
    try:
        files.pack(view, path, writing, follow=follow)
    finally:
        os.close(writing)
        thread.join()
    with tarfile.open(fileobj=io.BytesIO(parts[0])) as archive:
        return {m.name: f.read() if (f := archive.extractfile(m) if m.isreg() else None) else b"" for m in archive}


def _put(files: WorkerFiles, view: View, path: bytes, members: dict[str, bytes]) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    reading, writing = os.pipe()
    thread = threading.Thread(target=_write, args=(writing, data.getvalue()))
    thread.start()
    try:
        files.unpack(view, path, reading)
    finally:
        os.close(reading)
        thread.join()


def _write(descriptor: int, data: bytes) -> None:
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
    except BrokenPipeError:
        pass


def test_stat(files: WorkerFiles, root: Path) -> None:
    for view in _views(root):
        assert files.stat(view, b"/d/f", follow=False).size == 4
        assert files.stat(view, b"/d/inner", follow=False).link == b"/d/f"
        assert files.stat(view, b"/d/inner", follow=True).size == 4
        assert files.stat(view, b"/../../d/../d/f", follow=False).size == 4
        for path in (b"/nope", b"/d/f/x", b"/loop/x"):
            with pytest.raises(NotFound):
                files.stat(view, path, follow=False)
        for path in (b"/d/absolute", b"/d/up"):
            with pytest.raises(NotFound):
                files.stat(view, path, follow=True)


def test_pack(files: WorkerFiles, root: Path) -> None:
    for view in _views(root):
        assert _packed(files, view, b"/d/f") == {"./f": b"file"}
        assert _packed(files, view, b"/d/inner", follow=True) == {"./f": b"file"}
        found = _packed(files, view, b"/d")
        assert found == {".": b"", "./absolute": b"", "./e": b"", "./f": b"file", "./inner": b"", "./up": b""}
        assert files.stat(view, b"/d/up", follow=False).link.endswith(b"secret")
        with pytest.raises(NotFound):
            _packed(files, view, b"/d/absolute", follow=True)


def test_unpack(files: WorkerFiles, root: Path, tmp_path: Path) -> None:
    for number, view in enumerate(_views(root)):
        _put(files, view, b"/d/e", {f"new/{number}": b"x"})
        assert (root / f"d/e/new/{number}").read_bytes() == b"x"
        with pytest.raises(InvalidArgument):
            _put(files, view, b"/d", {"../../out": b"x"})
        with pytest.raises(NotFound):
            _put(files, view, b"/d/up", {"x": b"x"})
        with pytest.raises(NotFound):
            _put(files, view, b"/d/f", {"x": b"x"})
    _put(files, View(root=str(root)), b"/d", {"up": b"replaced", "absolute": b"replaced"})
    assert (tmp_path / "secret").read_text() == "not yours"
    assert (root / "d/up").read_bytes() == b"replaced"


def test_binds_are_seen_and_not_left_by(files: WorkerFiles, root: Path, tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume/v").write_text("in volume")
    (tmp_path / "volume/out").symlink_to("../secret")
    mounts = (Mount("bind", str(root), "", ("rbind", "rw")),)
    view = View(mounts=mounts, binds=(Bind(str(tmp_path / "volume"), "/d/e"),))
    assert _packed(files, view, b"/d/e") == {".": b"", "./v": b"in volume", "./out": b""}
    assert _packed(files, view, b"/d")["./e/v"] == b"in volume"
    with pytest.raises(NotFound):
        files.stat(view, b"/d/e/out", follow=True)
    _put(files, view, b"/d/e", {"w": b"written"})
    assert (tmp_path / "volume/w").read_bytes() == b"written"
    locked = View(mounts=mounts, binds=(Bind(str(tmp_path / "volume"), "/d/e", readonly=True),))
    with pytest.raises(FailedPrecondition):
        _put(files, locked, b"/d/e", {"x": b"x"})
    away = View(mounts=mounts, binds=(Bind(str(tmp_path / "volume"), "/d/up"),))
    assert _packed(files, away, b"/d/f") == {"./f": b"file"}  # a place that cannot be found is not mounted on


def test_swapped_directories_lead_nowhere(files: WorkerFiles, root: Path, tmp_path: Path) -> None:
    """What a container does that wants to be copied from where it has no business."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/f").write_text("not yours")
    (root / "s/real").mkdir(parents=True)
    (root / "s/real/f").write_text("mine")
    (root / "s/link").symlink_to(tmp_path / "outside")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for old, new in (("real", "x"), ("link", "real"), ("real", "link"), ("x", "real")):
                os.rename(root / "s" / old, root / "s" / new)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(40):
            found = _packed(files, View(root=str(root)), b"/s")
            assert b"not yours" not in found.values()
            try:
                _put(files, View(root=str(root)), b"/s/real", {"g": b"put"})
            except NotFound:
                pass
    finally:
        stop.set()
        thread.join()
    assert os.listdir(tmp_path / "outside") == ["f"]


def test_changes(files: WorkerFiles, tmp_path: Path) -> None:
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    for top in (lower, upper):
        (top / "a").mkdir(parents=True)
        (top / "same").write_text("same")
        os.utime(top / "same", (1, 1))
    (lower / "a/gone").write_text("x")
    (lower / "a/changed").write_text("old")
    (upper / "a/changed").write_text("newer")
    (upper / "made/deep").mkdir(parents=True)
    (upper / "mnt").mkdir()
    below, above = [(Mount("bind", str(top), "", ("rbind", "rw")),) for top in (lower, upper)]
    assert files.changes(below, above, hidden=["/mnt"]) == [
        (b"/a", ChangeKind.MODIFIED),
        (b"/a/changed", ChangeKind.MODIFIED),
        (b"/a/gone", ChangeKind.DELETED),
        (b"/made", ChangeKind.ADDED),
        (b"/made/deep", ChangeKind.ADDED),
    ]
