"""Bundles on disk."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pycontainerd.api.runtime.bootstrap.v1 import bootstrap_pb2
from pycontainerd.core.bundle import Bootstrap, Bundle, bundle_of
from pycontainerd.core.errors import AlreadyExists, InvalidArgument, Unknown
from pycontainerd.runtime import bundle as bundles
from pycontainerd.wire import failpoint


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return bundle_of(str(tmp_path / "state"), str(tmp_path / "root"), "ns", "c1")


def _mode(path: str) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_layout_and_modes(bundle: Bundle) -> None:
    old = os.umask(0o077)
    try:
        bundles.create(bundle, b'{"ociVersion":"1.0.2"}')
    finally:
        os.umask(old)
    assert sorted(os.listdir(bundle.path)) == ["config.json", "log", "rootfs", "work"]
    assert Path(bundle.config).read_bytes() == b'{"ociVersion":"1.0.2"}'
    assert (_mode(bundle.path), _mode(bundle.rootfs)) == (0o700, 0o711)
    assert stat.S_ISFIFO(os.lstat(bundle.log).st_mode)
    assert os.readlink(f"{bundle.path}/work") == bundle.work
    assert os.path.isdir(bundle.work)


def test_a_second_one_of_the_name_is_refused_and_the_first_untouched(bundle: Bundle) -> None:
    bundles.create(bundle, b"first")
    with pytest.raises(AlreadyExists):
        bundles.create(bundle, b"second")
    assert Path(bundle.config).read_bytes() == b"first"
    assert os.listdir(os.path.dirname(bundle.path)) == ["c1"]


@pytest.mark.parametrize("point", ["bundle.create.dir", "bundle.create.rename"])
def test_a_failure_leaves_nothing(bundle: Bundle, point: str) -> None:
    failpoint.arm(point, "error:EIO")
    try:
        with pytest.raises(Unknown, match="c1"):
            bundles.create(bundle, b"{}")
    finally:
        failpoint.disarm()
    assert os.listdir(os.path.dirname(bundle.path)) == []
    assert not os.path.exists(bundle.work)
    bundles.create(bundle, b"{}")


def test_remove_is_idempotent_and_resumes(bundle: Bundle) -> None:
    bundles.create(bundle, b"{}")
    os.makedirs(f"{bundle.exits}")
    Path(f"{bundle.exits}/init").write_text("{}")
    Path(f"{bundle.work}/file").write_text("x")
    failpoint.arm("bundle.remove.tree", "error:EIO")
    try:
        with pytest.raises(OSError, match=r"bundle\.remove\.tree"):
            bundles.remove(bundle)
    finally:
        failpoint.disarm()
    assert os.listdir(os.path.dirname(bundle.path)) == [".c1"]
    bundles.create(bundle, b"{}")  # the name is free at once
    bundles.remove(bundle)
    bundles.remove(bundle)
    assert os.listdir(os.path.dirname(bundle.path)) == []
    assert os.listdir(os.path.dirname(bundle.work)) == []


def test_a_name_is_free_while_its_last_bundle_is_still_on_its_way_out(bundle: Bundle) -> None:
    parent = os.path.dirname(bundle.path)
    doomed = []
    for _ in range(3):
        bundles.create(bundle, b"{}")
        doomed.append(bundles.retire(bundle))
    assert len(set(doomed)) == 3
    assert sorted(os.listdir(parent)) == sorted(os.path.basename(path) for path in doomed)
    for path in doomed:
        bundles.discard(path)
    assert os.listdir(parent) == []


def test_files_somebody_wrote_into_rootfs_go_too_but_links_are_not_followed(bundle: Bundle, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    bundles.create(bundle, b"{}")
    Path(f"{bundle.rootfs}/dir").mkdir()
    os.symlink(precious, f"{bundle.rootfs}/dir/link")
    os.symlink(precious, f"{bundle.path}/link")
    bundles.remove(bundle)
    assert (precious / "file").exists()
    assert not os.path.exists(bundle.path)


def test_sweep_lists_bundles_and_removes_leftovers(bundle: Bundle, tmp_path: Path) -> None:
    bundles.create(bundle, b"{}")
    parent = Path(bundle.path).parent
    (parent / ".c2" / "rootfs").mkdir(parents=True)
    (parent / ".c3.new").mkdir()
    (parent / "empty").mkdir()
    (Path(bundle.work).parent / "orphan").mkdir()
    found = bundles.sweep(str(tmp_path / "state"), str(tmp_path / "root"))
    assert found == [bundle]
    assert os.listdir(parent) == ["c1"]
    assert os.listdir(Path(bundle.work).parent) == ["c1"]
    assert bundles.sweep(str(tmp_path / "nothing"), str(tmp_path / "there")) == []


def test_bootstrap_survives_the_way_to_disk(bundle: Bundle) -> None:
    bundles.create(bundle, b"{}")
    with pytest.raises(InvalidArgument, match=r"bootstrap\.json"):
        bundles.load_bootstrap(bundle)
    bundles.save_bootstrap(bundle, Bootstrap("unix:///a", 3), "/bin/shim")
    assert bundles.load_bootstrap(bundle) == Bootstrap("unix:///a", 3)
    assert bundles.read_file(bundle.shim_binary) == b"/bin/shim"


def test_an_address_file_is_migrated(bundle: Bundle) -> None:
    bundles.create(bundle, b"{}")
    Path(bundle.address).write_text("unix:///old")
    assert bundles.load_bootstrap(bundle) == Bootstrap("unix:///old", 2)
    assert not os.path.exists(bundle.address)
    assert bundles.load_bootstrap(bundle) == Bootstrap("unix:///old", 2)


def test_a_shims_answer_in_each_of_its_forms() -> None:
    result = bootstrap_pb2.BootstrapResult(version=3, address="unix:///a", protocol="ttrpc")
    assert bundles.parse_bootstrap(result.SerializeToString()) == Bootstrap("unix:///a", 3)
    assert bundles.parse_bootstrap(b"unix:///run/containerd/s/0a1b\n") == Bootstrap("unix:///run/containerd/s/0a1b", 2)
    assert bundles.parse_bootstrap(b'{"version":2,"address":"unix:///a"}') == Bootstrap("unix:///a", 2)
    result.version = 9
    with pytest.raises(InvalidArgument, match="version 9"):
        bundles.parse_bootstrap(result.SerializeToString())
    with pytest.raises(InvalidArgument):
        bundles.parse_bootstrap(b"")


def test_published_marks(bundle: Bundle) -> None:
    bundles.create(bundle, b"{}")
    assert bundles.read_published(bundle) == set()
    bundles.mark_published(bundle, "exec.e1", 12)
    bundles.mark_published(bundle, "init", 11)
    assert bundles.read_published(bundle) == {("exec.e1", 12), ("init", 11)}
    bundles.remove(bundle)
    bundles.mark_published(bundle, "init", 11)  # a bundle that has just gone is no error
