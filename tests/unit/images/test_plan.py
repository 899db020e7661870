from __future__ import annotations

from pycontainerd.core.values import Mount
from pycontainerd.images.plan import lower_directories, plan_apply, read_only, upper_directory

OVERLAY = Mount("overlay", "overlay", "", ("workdir=/w", "upperdir=/u", "lowerdir=/b:/a", "index=off"))
BIND = Mount("bind", "/src", "", ("rw", "rbind"))


def test_one_overlay_is_filled_without_mounting() -> None:
    plan = plan_apply([OVERLAY])
    assert (plan.root, plan.mounts, plan.lowers, plan.overlay) == ("/u", (), ("/b", "/a"), True)
    assert not plan.userxattr
    assert plan_apply([Mount("overlay", "overlay", "", (*OVERLAY.options, "userxattr"))]).userxattr


def test_everything_else_is_mounted() -> None:
    mapped = Mount("overlay", "overlay", "", ("uidmap=0:1:1", "gidmap=0:1:1", *OVERLAY.options))
    for mounts in ([BIND], [BIND, BIND], [mapped], [Mount("overlay", "overlay", "", ("lowerdir=/b:/a",))]):
        plan = plan_apply(mounts)
        assert plan.root == ""
        assert plan.mounts == tuple(mounts)
        assert not plan.overlay


def test_lower_directories_of_views() -> None:
    assert lower_directories([OVERLAY]) == ["/b", "/a"]
    assert lower_directories([BIND]) == ["/src"]
    assert lower_directories([BIND, BIND]) == []


def test_reading_leaves_the_upper_directory_alone() -> None:
    assert read_only([OVERLAY, BIND]) == [
        Mount("overlay", "overlay", "", ("index=off", "lowerdir=/u:/b:/a")),
        Mount("bind", "/src", "", ("rbind", "ro")),
    ]


def test_a_detached_snapshot_is_one_directory() -> None:
    assert upper_directory([BIND]) == "/src"
    assert upper_directory([OVERLAY]) == ""
