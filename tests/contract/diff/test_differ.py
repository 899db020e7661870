"""What every differ must do, on every snapshotter: layers applied are layers computed again."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from pycontainerd.core.diff import LAYER_TAR
from pycontainerd.core.errors import InvalidArgument, NotFound, Unimplemented, Unknown
from pycontainerd.core.values import Descriptor, Mount
from pycontainerd.linux.mount import mount_all, unmount_all
from tests.support.engines import NAMESPACE, Engines
from tests.support.images import Layer, Member, busybox_layer
from tests.support.trees import tree

pytestmark = pytest.mark.root

BASE = [
    Member("etc/", "dir", mode=0o711, uid=1),
    Member("etc/keep", data=b"keep"),
    Member("etc/gone", data=b"gone"),
    Member("etc/changed", data=b"old"),
    Member("dir/", "dir"),
    Member("dir/a", data=b"a"),
    Member("dir/sub/", "dir"),
    Member("dir/sub/b", data=b"b"),
    Member("opaque/", "dir"),
    Member("opaque/old", data=b"old"),
    Member("link", "symlink", link="etc/keep"),
    Member("one", data=b"linked"),
    Member("two", "link", link="one"),
]
ON_TOP = [
    Member("etc/.wh.gone"),
    Member("etc/changed", data=b"new!", mode=0o4755),
    Member(".wh.dir"),
    Member("opaque/", "dir"),
    Member("opaque/.wh..wh..opq"),
    Member("opaque/new", data=b"new"),
    Member("link", "symlink", link="etc/changed"),
    Member("null", "char", device=(1, 3), mode=0o666),
    Member("added", data=b"added", pax={"SCHILY.xattr.user.note": "x"}),
]


def apply(made: Engines, snapshotter: str, layer: Layer, name: str, parent: str = "") -> Descriptor:
    """Apply as the next snapshot of a chain."""
    digest = made.add(layer.blob)
    store = made.snapshotters[snapshotter]
    key = f"extract {name}"
    mounts = store.prepare(NAMESPACE, key, parent)
    applied = made.differ.apply(NAMESPACE, Descriptor(layer.media_type, digest, len(layer.blob)), mounts)
    store.commit(NAMESPACE, name, key)
    return applied


def names(made: Engines, digest: str) -> list[str]:
    blob = made.content.read(NAMESPACE, digest)
    with tarfile.open(fileobj=io.BytesIO(blob)) as archive:
        return archive.getnames()


@pytest.mark.parametrize("compression", ["", "gzip", "zstd"])
def test_apply_answers_with_the_diff_id(made: Engines, snapshotter: str, compression: str) -> None:
    layer = Layer.of(BASE, compression)
    applied = apply(made, snapshotter, layer, "one")
    assert (applied.media_type, applied.digest) == (LAYER_TAR, layer.diff_id)
    with made.mounted(snapshotter, "one") as root:
        assert (root / "etc/keep").read_bytes() == b"keep"
        assert os.stat(root / "one").st_ino == os.stat(root / "two").st_ino
        assert (os.stat(root / "etc").st_mode & 0o777, os.stat(root / "etc").st_uid) == (0o711, 1)


@pytest.mark.parametrize("compression", ["", "gzip", "zstd"])
@pytest.mark.parametrize("kind", ["rootfs.diff.tar", "rootfs.foreign.diff.tar", "rootfs.diff.tar.gzip"])
def test_dockers_types_do_not_bind_the_content(made: Engines, snapshotter: str, kind: str, compression: str) -> None:
    layer = replace(Layer.of(BASE, compression), media_type=f"application/vnd.docker.image.{kind}")
    assert apply(made, snapshotter, layer, "one").digest == layer.diff_id


def test_a_second_layer_changes_the_first(made: Engines, snapshotter: str) -> None:
    apply(made, snapshotter, Layer.of(BASE), "one")
    apply(made, snapshotter, Layer.of(ON_TOP, "zstd"), "two", "one")
    with made.mounted(snapshotter, "two") as root:
        assert sorted(os.listdir(root)) == ["added", "etc", "link", "null", "one", "opaque", "two"]
        assert sorted(os.listdir(root / "etc")) == ["changed", "keep"]
        assert os.listdir(root / "opaque") == ["new"]
        assert (root / "etc/changed").read_bytes() == b"new!"
        assert os.stat(root / "etc/changed").st_mode & 0o7777 == 0o4755
        assert os.readlink(root / "link") == "etc/changed"
        assert os.stat(root / "null").st_rdev == os.makedev(1, 3)
        assert os.getxattr(root / "added", "user.note") == b"x"
    with made.mounted(snapshotter, "one") as root:
        assert (root / "dir/sub/b").exists()


@pytest.mark.parametrize("media_type", [LAYER_TAR, LAYER_TAR + "+gzip", LAYER_TAR + "+zstd", ""])
def test_what_compare_writes_apply_makes_again(made: Engines, snapshotter: str, media_type: str) -> None:
    apply(made, snapshotter, Layer.of(BASE), "one")
    apply(made, snapshotter, Layer.of(ON_TOP), "two", "one")
    store = made.snapshotters[snapshotter]
    lower, upper = store.view(NAMESPACE, "lower", "one"), store.view(NAMESPACE, "upper", "two")
    found = made.differ.compare(NAMESPACE, lower, upper, media_type=media_type, labels={"mine": "1", "empty": ""})
    assert found.media_type == media_type or LAYER_TAR + "+gzip"
    labels = made.content.info(NAMESPACE, found.digest).labels
    assert labels["mine"] == "1"
    mounts = store.prepare(NAMESPACE, "again", "one")
    applied = made.differ.apply(NAMESPACE, found, mounts)
    assert applied.digest == labels["containerd.io/uncompressed"]
    store.commit(NAMESPACE, "three", "again")
    with made.mounted(snapshotter, "two") as root:
        first = tree(root)
    with made.mounted(snapshotter, "three") as root:
        second = tree(root)
    for path in ("etc", "opaque"):
        assert first.pop(path)[:4] == second.pop(path)[:4]
    assert first == second
    assert made.content.statuses(NAMESPACE) == []


def test_the_same_trees_give_the_same_layer(made: Engines, snapshotter: str) -> None:
    apply(made, snapshotter, Layer.of(BASE), "one")
    store = made.snapshotters[snapshotter]
    lower = store.view(NAMESPACE, "lower", "one")
    digests = set()
    for key in ("a", "b"):
        mounts = store.prepare(NAMESPACE, key, "one")
        with changed(made, mounts) as root:
            (root / "etc/gone").unlink()
            (root / "new").write_text("new")
        digests.add(made.differ.compare(NAMESPACE, lower, mounts, source_date_epoch=1_000_000_000).digest)
    assert len(digests) == 1
    blob = gzip.decompress(made.content.read(NAMESPACE, digests.pop()))
    with tarfile.open(fileobj=io.BytesIO(blob)) as archive:
        assert {member.name: member.mtime for member in archive} == {
            "etc": 1_000_000_000,
            "etc/.wh.gone": 0,
            "new": 1_000_000_000,
        }


class changed:  # noqa: N801 - reads as a verb
    """The mounts of an active snapshot, to write into."""

    def __init__(self, made: Engines, mounts: list[Mount]) -> None:
        self.path = made.root / "writing"
        self.mounts = mounts

    def __enter__(self) -> Path:
        self.path.mkdir(exist_ok=True)
        mount_all(self.mounts, str(self.path))
        return self.path

    def __exit__(self, *exc: object) -> None:
        unmount_all(str(self.path))


def test_compare_sees_every_kind_of_change(made: Engines, snapshotter: str) -> None:
    apply(made, snapshotter, Layer.of(BASE), "one")
    store = made.snapshotters[snapshotter]
    mounts = store.prepare(NAMESPACE, "work", "one")
    with changed(made, mounts) as root:
        (root / "etc/changed").chmod(0o600)  # metadata only
        os.link(root / "etc/keep", root / "etc/again")  # a new name for an old file brings that along
        (root / "dir/a").unlink()
        (root / "dir/a").mkdir()  # another type
        (root / "dir/a/x").touch()
        same = os.stat(root / "dir/sub/b")
        (root / "dir/sub/b").write_bytes(b"B")  # same size and, below, same time: only content differs
        os.utime(root / "dir/sub/b", ns=(same.st_atime_ns, same.st_mtime_ns))
        os.mkfifo(root / "pipe")
        os.setxattr(root / "opaque/old", "user.k", b"v")
        (root / ".wh.trap").touch()
    lower = store.view(NAMESPACE, "lower", "one")
    found = names(made, made.differ.compare(NAMESPACE, lower, mounts).digest)
    expected = {"etc", "etc/changed", "etc/keep", "etc/again", "dir", "dir/a", "dir/a/x", "dir/sub", "dir/sub/b",
                "pipe", "opaque", "opaque/old"}  # fmt: skip
    assert set(found) == expected
    assert found == sorted(found, key=lambda name: name.split("/"))


def test_comparing_with_nothing_gives_the_whole_tree(made: Engines, snapshotter: str) -> None:
    apply(made, snapshotter, Layer.of(BASE), "one")
    upper = made.snapshotters[snapshotter].view(NAMESPACE, "upper", "one")
    found = made.differ.compare(NAMESPACE, [], upper)
    assert set(names(made, found.digest)) == {member.name.rstrip("/") for member in BASE}


def test_a_real_root_file_system(made: Engines, snapshotter: str) -> None:
    layer = busybox_layer("zstd")
    assert apply(made, snapshotter, layer, "busybox").digest == layer.diff_id


def test_unknown_types_and_blobs(made: Engines, snapshotter: str) -> None:
    store = made.snapshotters[snapshotter]
    mounts = store.prepare(NAMESPACE, "k")
    digest = made.add(b"data")
    with pytest.raises(Unknown, match="no processor"):
        made.differ.apply(NAMESPACE, Descriptor("text/plain", digest, 4), mounts)
    with pytest.raises(NotFound):
        made.differ.apply(NAMESPACE, Descriptor(LAYER_TAR, "sha256:" + "0" * 64, 4), mounts)
    with pytest.raises(Unimplemented):
        made.differ.compare(NAMESPACE, mounts, mounts, media_type="text/plain")
    with pytest.raises(InvalidArgument):
        made.differ.compare(NAMESPACE, mounts, mounts, labels={"k": "v" * 5000})
    with pytest.raises(InvalidArgument):
        made.differ.apply(NAMESPACE, Descriptor(LAYER_TAR, digest, 4), mounts)


HOSTILE = {
    "dot dot": [Member("../escape")],
    "link out": [Member("l", "symlink", link="../../../../../../../tmp"), Member("l/pc-escape")],
    "hard link out": [Member("h", "link", link="../../../../../../etc/passwd")],
    "whiteout out": [Member("d/", "dir"), Member("d/.wh...")],
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_layers_leave_the_snapshot_usable_and_the_rest_alone(
    made: Engines, snapshotter: str, case: str
) -> None:
    apply(made, snapshotter, Layer.of(BASE), "one")
    with made.mounted(snapshotter, "one") as root:
        before = tree(root)
    with pytest.raises(InvalidArgument, match="entry"):
        apply(made, snapshotter, Layer.of(HOSTILE[case]), "two", "one")
    made.snapshotters[snapshotter].remove(NAMESPACE, "extract two")
    with made.mounted(snapshotter, "one") as root:
        assert tree(root) == before
    assert not Path("/tmp/pc-escape").exists()


@pytest.mark.parametrize("cut", [1, 100, 600])
def test_truncated_layers_are_refused(made: Engines, snapshotter: str, cut: int) -> None:
    layer = Layer.of([Member("f", data=os.urandom(5000))])
    layer.blob = layer.blob[:-cut]
    with pytest.raises(InvalidArgument, match="truncated"):
        apply(made, snapshotter, layer, "one")
