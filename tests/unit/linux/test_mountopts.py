"""Mount option strings."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.linux import mountopts
from pycontainerd.linux.mountopts import common_directory, overlay_layers, parse_options

_PATHS = st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=5).map(
    lambda parts: "/" + "/".join(parts)
)


def test_flags_and_data_are_told_apart() -> None:
    options = parse_options(["rbind", "ro", "nosuid", "size=64m", "mode=755"])

    assert options.flags == mountopts.MS_BIND | mountopts.MS_REC | mountopts.MS_RDONLY | mountopts.MS_NOSUID
    assert options.data == ["size=64m", "mode=755"]


def test_the_last_of_contradicting_flags_wins() -> None:
    assert not parse_options(["ro", "rw"]).read_only
    assert parse_options(["rw", "ro"]).read_only
    assert parse_options(["noexec", "exec"]).flags == 0


def test_propagation_is_kept_apart_and_in_order() -> None:
    options = parse_options(["rbind", "rslave", "shared"])

    assert options.propagation == [mountopts.MS_SLAVE | mountopts.MS_REC, mountopts.MS_SHARED]
    assert options.flags == mountopts.MS_BIND | mountopts.MS_REC


def test_remarks_for_other_programs_reach_no_filesystem() -> None:
    assert parse_options(["X-containerd.mkdir.path=/a", "x-systemd.automount", "", "defaults"]).data == []


def test_loop_and_idmap_are_taken_out() -> None:
    options = parse_options(["loop", "uidmap=0:100000:65536", "gidmap=0:100000:65536", "index=off"])

    assert options.loop
    assert (options.uidmap, options.gidmap) == ("0:100000:65536", "0:100000:65536")
    assert options.data == ["index=off"]


def test_half_an_idmap_is_refused() -> None:
    with pytest.raises(OSError, match="together") as caught:
        parse_options(["uidmap=0:1:1"])
    assert caught.value.errno == errno.EINVAL


def test_overlay_layers_are_split_off() -> None:
    lower, rest = overlay_layers(["workdir=/w", "lowerdir=/a:/b", "index=off"])

    assert lower == ["/a", "/b"]
    assert rest == ["workdir=/w", "index=off"]


@given(st.lists(_PATHS, min_size=1, max_size=6))
def test_every_path_has_a_name_below_the_common_directory(paths: list[str]) -> None:
    parent = common_directory(paths)

    for path in paths:
        assert path.startswith(parent.rstrip("/") + "/")
        assert path[len(parent.rstrip("/")) + 1 :]


def test_a_relative_path_has_no_common_directory() -> None:
    assert common_directory(["/a/b", "c"]) == ""
    assert common_directory([]) == ""
