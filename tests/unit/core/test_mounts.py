"""Transforms of the mount manager, as far as they are pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.mounts import (
    ActiveMount,
    Directory,
    Image,
    fill_in,
    fill_text,
    plan,
    take_apart,
    take_directories,
    take_image,
)
from pycontainerd.core.values import Mount

ACTIVE = [ActiveMount(Mount("loop", "/image", "below"), "/m/0"), ActiveMount(Mount("ext4", "/dev/loop0"), "/m/1")]
PLAIN = Mount("bind", "/a", options=("rbind",))
LOOP = Mount("loop", "/image")


def test_plain_mounts_need_no_manager() -> None:
    assert plan([PLAIN, Mount("overlay", "overlay")], ["loop"]) is None
    assert plan([], ["loop"]) is None


def test_a_handled_type_is_managed_and_the_rest_left() -> None:
    found = plan([LOOP, PLAIN], ["loop"])

    assert found is not None
    assert [step.mount for step in found.managed] == [LOOP]
    assert [step.mount for step in found.system] == [PLAIN]


def test_everything_before_a_transform_is_managed() -> None:
    found = plan([PLAIN, Mount("format/overlay", "overlay")], ["loop"])

    assert found is not None
    assert [step.mount for step in found.managed] == [PLAIN]
    assert [(step.mount.type, step.transforms) for step in found.system] == [("overlay", ("format",))]


def test_one_transformed_and_handled_mount_alone() -> None:
    found = plan([Mount("mkfs/loop", "/image")], ["loop"])

    assert found is not None
    assert len(found.managed) == 1
    assert found.system == ()


def test_temporary_manages_all() -> None:
    found = plan([PLAIN, PLAIN], ["loop"], temporary=True)

    assert found is not None
    assert len(found.managed) == 2


def test_claims_of_the_caller_hold_unless_something_depends_on_them() -> None:
    assert plan([LOOP], ["loop"], allow_types=["loop"]) is None
    assert plan([Mount("format/overlay", "o")], [], allow_transforms=["format"]) is None
    assert plan([Mount("format/overlay", "o")], [], allow_types=["format/overlay"]) is None
    found = plan([LOOP, Mount("format/ext4", "{{ mount 0 }}")], ["loop"], allow_types=["loop"])
    assert found is not None
    assert len(found.managed) == 1


@pytest.mark.parametrize(
    ("type", "transforms", "bare"),
    [
        ("overlay", (), "overlay"),
        ("format/mkdir/overlay", ("format", "mkdir"), "overlay"),
        ("mkfs/loop", ("mkfs",), "loop"),
        ("fuse/thing", (), "fuse/thing"),
        ("format/fuse/thing", ("format",), "fuse/thing"),
    ],
)
def test_transforms_are_prefixes(type: str, transforms: tuple[str, ...], bare: str) -> None:
    step = take_apart(Mount(type, "s"))

    assert (step.transforms, step.mount.type) == (transforms, bare)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain", "plain"),
        ("{{ source 1 }}", "/dev/loop0"),
        ("{{target 0}}", "below"),
        ("lowerdir={{ mount 0 }}/a:{{ mount 1 }}", "lowerdir=/m/0/a:/m/1"),
        ("{{ overlay 0 1 }}", "/m/0:/m/1"),
        ("{{- overlay 1 0 -}}", "/m/1:/m/0"),
        ("{{ overlay 1 1 }}", "/m/1"),
    ],
)
def test_templates_are_filled(text: str, filled: str) -> None:
    assert fill_text(text, ACTIVE) == filled


@pytest.mark.parametrize("text", ["{{ mount 2 }}", "{{ mount -1 }}", "{{ mount }}", "{{ overlay 0 }}", "{{ other 0 }}",
                                  "{{ mount 0", "{{ printf `x` }}", "{{ overlay 0 5 }}"])  # fmt: skip
def test_a_bad_template_is_named(text: str) -> None:
    with pytest.raises(InvalidArgument, match="template"):
        fill_text(text, ACTIVE)


@given(st.text())
def test_any_text_is_filled_or_refused(text: str) -> None:
    try:
        fill_text(text, ACTIVE)
    except InvalidArgument:
        assert "{{" in text


def test_a_mount_is_filled_in_all_its_parts() -> None:
    mount = Mount("overlay", "{{ mount 0 }}", "{{ target 0 }}", ("a", "upperdir={{ mount 1 }}/u"))

    assert fill_in(mount, ACTIVE) == Mount("overlay", "/m/0", "below", ("a", "upperdir=/m/1/u"))


def test_directories_are_taken_out_of_the_options() -> None:
    options = (
        "ro",
        "X-containerd.mkdir.path=/a",
        "X-containerd.mkdir.path=/b:0755",
        "X-containerd.mkdir.path=/c:1777:1:2",
    )

    bare, directories = take_directories(Mount("overlay", "o", options=options))

    assert bare.options == ("ro",)
    assert directories == [Directory("/a"), Directory("/b", 0o755), Directory("/c", 0o1777, 1, 2)]


@pytest.mark.parametrize("value", ["path=a", "path=/a/../b", "path=/a:9", "path=/a:755:1", "path=/a:10000", "mode=1"])
def test_a_bad_directory_option_is_named(value: str) -> None:
    with pytest.raises(InvalidArgument, match=r"X-containerd\.mkdir"):
        take_directories(Mount("overlay", "o", options=(f"X-containerd.mkdir.{value}",)))


def test_an_image_is_taken_out_of_the_options() -> None:
    uuid = "550e8400-e29b-41d4-a716-446655440000"
    options = ("ro", "X-containerd.mkfs.size=100MiB", "X-containerd.mkfs.fs=xfs", f"X-containerd.mkfs.uuid={uuid}")

    bare, image = take_image(Mount("loop", "/disk.img", options=options))

    assert bare.options == ("ro",)
    assert image == Image("/disk.img", 100 << 20, "xfs", uuid)
    assert take_image(Mount("loop", "/disk.img")) == (Mount("loop", "/disk.img"), Image("/disk.img", 0))


@pytest.mark.parametrize(
    ("source", "option"),
    [
        ("/disk", "size=big"),
        ("/disk", "fs=vfat"),
        ("/disk", "uuid=1"),
        ("/disk", "other=1"),
        ("disk", "size=1m"),
        ("/a/../disk", "size=1m"),
    ],
)
def test_a_bad_image_is_refused(source: str, option: str) -> None:
    with pytest.raises(InvalidArgument):
        take_image(Mount("loop", source, options=(f"X-containerd.mkfs.{option}",)))
