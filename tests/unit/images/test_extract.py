"""The extractor on real directories, in this process: what it makes and what it refuses."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pycontainerd.images.extract import Extractor, clean
from pycontainerd.images.tarreader import TarReader
from pycontainerd.images.tarstream import ByteStream, TarError
from tests.support.images import Member, make_tar

pytestmark = pytest.mark.root


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    here, mask = Path.cwd(), os.umask(0)
    path = tmp_path / "root"
    path.mkdir()
    yield path
    os.chdir(here)
    os.umask(mask)


def extract(root: Path, members: Sequence[Member] | bytes, **options: object) -> Extractor:
    data = members if isinstance(members, bytes) else make_tar(members)
    stream = io.BytesIO(data)
    fd = os.open(root, os.O_RDONLY)
    parents = [os.open(path, os.O_PATH) for path in options.pop("parents", ())]  # type: ignore[attr-defined]
    try:
        extractor = Extractor(fd, parents=parents, **options)  # type: ignore[arg-type]
        extractor.apply(TarReader(ByteStream(lambda: stream.read(1000))))
        return extractor
    finally:
        for each in [fd, *parents]:
            os.close(each)


def test_everything_a_layer_may_hold(root: Path) -> None:
    extract(
        root,
        [
            Member("d/", "dir", mode=0o2750, uid=3, gid=4, mtime=1000),
            Member("d/f", data=b"x" * 100_000, mode=0o4711, uid=5, gid=6, mtime=2000),
            Member("d/l", "link", link="d/f"),
            Member("d/s", "symlink", link="../elsewhere", uid=7, mtime=3000),
            Member("d/null", "char", device=(1, 3), mode=0o666),
            Member("d/loop", "block", device=(7, 0), mode=0o660, gid=6),
            Member("d/pipe", "fifo", mode=0o1600),
            Member("d/empty", mode=0o000, mtime=-5),
        ],
    )
    directory = os.stat(root / "d")
    assert (stat.S_IMODE(directory.st_mode), directory.st_uid, directory.st_gid) == (0o2750, 3, 4)
    assert directory.st_mtime == 1000
    file = os.stat(root / "d/f")
    assert (stat.S_IMODE(file.st_mode), file.st_uid, file.st_gid, file.st_mtime) == (0o4711, 5, 6, 2000)
    assert os.stat(root / "d/l").st_ino == file.st_ino
    link = os.lstat(root / "d/s")
    assert (os.readlink(root / "d/s"), link.st_uid, link.st_mtime) == ("../elsewhere", 7, 3000)
    null, loop, pipe = (os.lstat(root / "d" / name) for name in ("null", "loop", "pipe"))
    assert (null.st_mode, null.st_rdev) == (stat.S_IFCHR | 0o666, os.makedev(1, 3))
    assert (loop.st_mode, loop.st_gid) == (stat.S_IFBLK | 0o660, 6)
    assert pipe.st_mode == stat.S_IFIFO | 0o1600
    assert os.stat(root / "d/empty").st_mtime == 0


def test_extended_attributes(root: Path) -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000000").decode("latin-1")
    pax = {
        "SCHILY.xattr.user.note": "hi",
        "SCHILY.xattr.trusted.overlay.opaque": "y",
        "SCHILY.xattr.user.overlay.x": "y",
    }
    extract(
        root,
        [
            Member("f", pax=pax),
            Member("d", "dir", pax={"SCHILY.xattr.user.d": "1"}),
            Member("c", pax={"SCHILY.xattr.security.capability": capability}),
            Member("s", "symlink", link="f", pax={"SCHILY.xattr.user.x": "1"}),
        ],
    )
    assert os.listxattr(root / "f") == ["user.note"]
    assert os.getxattr(root / "d", "user.d") == b"1"
    assert os.getxattr(root / "c", "security.capability") == capability.encode("latin-1")


def test_a_sparse_file_keeps_its_holes(root: Path) -> None:
    pax = {"GNU.sparse.size": "10000000", "GNU.sparse.map": "4096,5,8000000,5", "GNU.sparse.name": "hole"}
    extract(root, [Member("s", data=b"helloworld", pax=pax)])
    with (root / "hole").open("rb") as file:
        file.seek(4096)
        assert file.read(5) == b"hello"
        file.seek(8_000_000)
        assert file.read(6) == b"world\0"
    assert os.stat(root / "hole").st_size == 10_000_000
    assert os.stat(root / "hole").st_blocks * 512 < 100_000


def test_later_entries_replace_earlier_ones_and_directories_merge(root: Path) -> None:
    (root / "d").mkdir()
    (root / "d/old").touch()
    (root / "tree/deep/er").mkdir(parents=True)
    (root / "tree/deep/file").touch()
    extract(
        root,
        [
            Member("d", "dir", mode=0o700),
            Member("a", data=b"1"),
            Member("a", "symlink", link="x"),
            Member("a", "dir"),
            Member("a/b", data=b"2"),
            Member("tree", data=b"now a file"),
        ],
    )
    assert (root / "d/old").exists()
    assert (root / "a/b").read_bytes() == b"2"
    assert (root / "tree").read_bytes() == b"now a file"


def test_a_file_is_replaced_not_written_into(root: Path) -> None:
    (root / "old").write_bytes(b"shared")
    os.link(root / "old", root / "other")
    extract(root, [Member("old", data=b"new")])
    assert (root / "other").read_bytes() == b"shared"


def test_paths_through_links_stay_inside(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    extract(
        root,
        [
            Member("usr/lib/", "dir"),
            Member("lib", "symlink", link="usr/lib"),
            Member("lib/inside", data=b"1"),
            Member("run", "dir"),
            Member("var/run", "symlink", link="/run"),
            Member("var/run/pid", data=b"2"),
            Member("x/y/", "dir"),
            Member("x/up", "symlink", link="../usr"),
            Member("x/up/lib/more", data=b"3"),
        ],
    )
    assert (root / "usr/lib/inside").read_bytes() == b"1"
    assert (root / "run/pid").read_bytes() == b"2"
    assert (root / "usr/lib/more").read_bytes() == b"3"
    assert not list(outside.iterdir())


HOSTILE: dict[str, list[Member]] = {
    "dot dot": [Member("../escape")],
    "dot dot inside": [Member("a/../../escape")],
    "relative link out": [Member("l", "symlink", link="../../.."), Member("l/escape")],
    "deep relative link out": [Member("a/b/l", "symlink", link="../../../x"), Member("a/b/l/escape")],
    "absolute link out": [Member("l", "symlink", link="/OUTSIDE"), Member("l/escape")],
    "absolute link, two steps": [
        Member("l", "symlink", link="m"),
        Member("m", "symlink", link="/OUTSIDE"),
        Member("l/escape"),
    ],
    "link loop": [Member("l", "symlink", link="m"), Member("m", "symlink", link="l"), Member("l/x")],
    "hard link out": [Member("h", "link", link="../OUTSIDE/secret")],
    "hard link to an absolute path": [Member("h", "link", link="/OUTSIDE/secret")],
    "hard link through a link": [Member("l", "symlink", link="/OUTSIDE"), Member("h", "link", link="l/secret")],
    "hard link to a directory": [Member("d", "dir"), Member("h", "link", link="d")],
    "hard link to nothing": [Member("h", "link", link="nowhere")],
    "hard link to itself": [Member("h"), Member("h", "link", link="h")],
    "whiteout of dot dot": [Member("d", "dir"), Member("d/.wh...")],
    "whiteout of dot": [Member("d", "dir"), Member("d/.wh..")],
    "whiteout of nothing": [Member(".wh.")],
    "whiteout outside": [Member("../.wh.secret")],
    "device out of range": [Member("n", "char", device=(70000, 1))],
    "file as directory": [Member("f"), Member("f/x")],
    "long name": [Member("n" * 300)],
    "long path": [Member("n/" * 2100 + "x")],
    "owner out of range": [Member("n", pax={"uid": "4294967295"})],
    "link without target": [Member("l", "symlink", link="")],
    "name with NUL": [Member("n", pax={"path": "a\0b"})],
}


@pytest.mark.parametrize("overlay", [False, True])
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives_are_refused(root: Path, tmp_path: Path, case: str, overlay: bool) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    members = [Member(**{**vars(m), "link": m.link.replace("/OUTSIDE", str(outside))}) for m in HOSTILE[case]]
    with pytest.raises(TarError) as caught:
        extract(root, members, overlay=overlay)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]
    assert os.stat(outside / "secret").st_nlink == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "root"]


def test_absolute_names_are_taken_as_relative(root: Path, tmp_path: Path) -> None:
    target = tmp_path / "abs"
    extract(root, [Member(str(target)), Member("/ko-app", "dir"), Member("/ko-app/app", data=b"x")])
    assert not target.exists()
    assert (root / "ko-app/app").read_bytes() == b"x"


def test_the_root_itself_is_left_as_it_is(root: Path) -> None:
    root.chmod(0o755)
    extract(root, [Member("./", "dir", mode=0o700, uid=9), Member("/", "dir", mode=0o700), Member("./a")])
    assert (stat.S_IMODE(os.stat(root).st_mode), os.stat(root).st_uid) == (0o755, 0)
    assert (root / "a").exists()


def test_whiteouts_as_deletions(root: Path) -> None:
    for name in ("gone", "kept", "dir/old", "opaque/old", "opaque/sub/old"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    extract(
        root,
        [
            Member(".wh.gone"),
            Member(".wh.never"),
            Member(".wh.dir"),
            Member("opaque/", "dir"),
            Member("opaque/new"),
            Member("opaque/sub/", "dir"),
            Member("opaque/sub/new"),
            Member("opaque/.wh..wh..opq"),
            Member(".wh..wh.plnk/", "dir"),
            Member(".wh..wh.aufs"),
        ],
    )
    found = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    assert found == ["kept", "opaque", "opaque/new", "opaque/sub", "opaque/sub/new"]


def test_a_whiteout_spares_what_its_own_layer_brings(root: Path) -> None:
    (root / "d").mkdir()
    (root / "d/old").touch()
    extract(root, [Member("f", data=b"new"), Member(".wh.f"), Member("d/", "dir"), Member("d/new"), Member(".wh.d")])
    assert (root / "f").read_bytes() == b"new"
    assert [path.name for path in (root / "d").iterdir()] == ["new"]


def test_whiteouts_for_overlayfs(root: Path) -> None:
    extract(
        root,
        [
            Member(".wh.gone", uid=3),
            Member("d/", "dir"),
            Member("d/.wh..wh..opq"),
            Member(".wh.again"),
            Member("again/", "dir"),
            Member(".wh.file"),
            Member("file", data=b"x"),
            Member("later/", "dir"),
            Member(".wh.later"),
        ],
        overlay=True,
    )
    gone = os.lstat(root / "gone")
    assert (stat.S_IFMT(gone.st_mode), gone.st_rdev, gone.st_uid) == (stat.S_IFCHR, 0, 3)
    for name in ("d", "again", "later"):
        assert os.getxattr(root / name, "trusted.overlay.opaque") == b"y"
    assert (root / "file").read_bytes() == b"x"


def test_whiteouts_for_overlayfs_without_privilege(root: Path) -> None:
    extract(root, [Member("d/", "dir"), Member("d/.wh..wh..opq")], overlay=True, userxattr=True)
    assert os.getxattr(root / "d", "user.overlay.opaque") == b"y"


def test_implied_directories_look_as_in_the_parent_layers(root: Path, tmp_path: Path) -> None:
    near, far = tmp_path / "near", tmp_path / "far"
    for layer, mode in ((near, 0o711), (far, 0o700)):
        (layer / "a").mkdir(parents=True)
        (layer / "a").chmod(mode)
    (far / "a/b").mkdir()
    (far / "a/b").chmod(0o1777)
    os.chown(far / "a/b", 8, 9)
    os.utime(far / "a/b", (500, 500))
    found = extract(root, [Member("a/b/c/f")], parents=[near, far])
    assert stat.S_IMODE(os.stat(root / "a").st_mode) == 0o711
    b = os.stat(root / "a/b")
    assert (stat.S_IMODE(b.st_mode), b.st_uid, b.st_gid, b.st_mtime) == (0o1777, 8, 9, 500)
    assert stat.S_IMODE(os.stat(root / "a/b/c").st_mode) == 0o755
    assert found.implied == [b"a/b/c"]


def test_many_directories_cost_few_descriptors(root: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    extract(root, [Member(f"d{i}/e/f") for i in range(300)] + [Member(f"d{i}/e/g") for i in range(300)])
    assert len(list(root.glob("*/e/*"))) == 600
    assert len(os.listdir("/proc/self/fd")) == before


def test_very_deep_trees_are_removed_without_recursion(root: Path) -> None:
    deep = "/".join(["d"] * 900)
    extract(root, [Member("top/" + deep + "/", "dir"), Member("top", data=b"flat")])
    assert (root / "top").read_bytes() == b"flat"


@pytest.mark.parametrize(
    ("name", "path"),
    [(b"a", b"a"), (b"./a", b"a"), (b"a/", b"a"), (b"/a", b"a"), (b"a//b", b"a/b"), (b"a/./b", b"a/b"),
     (b"a/../b", b"b"), (b".", b""), (b"./", b""), (b"/", b""), (b"", b""), (b".hidden/x", b".hidden/x"),
     (b"a/.b", b"a/.b"), (b"..a", b"..a")],
)  # fmt: skip
def test_names_are_cleaned(name: bytes, path: bytes) -> None:
    assert clean(name) == path
