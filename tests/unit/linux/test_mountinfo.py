"""Lines of mountinfo."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.linux import mountinfo
from pycontainerd.linux.mountinfo import MountPoint, unescape

_NAMES = st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=20)


def _escape(text: str) -> str:
    """What the kernel's seq_escape does with blanks and backslashes."""
    return "".join(f"\\{ord(char):03o}" if char in " \t\n\\" else char for char in text)


@given(_NAMES)
def test_unescaping_undoes_the_kernel(name: str) -> None:
    assert unescape(_escape(name)) == name


@given(st.text())
def test_unescaping_never_fails(text: str) -> None:
    unescape(text)


@given(_NAMES, _NAMES, st.lists(st.sampled_from(["shared:3", "master:9", "propagate_from:2"]), max_size=3))
def test_a_line_is_read_back(point: str, source: str, propagation: list[str]) -> None:
    fields = ["36", "35", "98:0", "/", _escape("/mnt/" + point), "rw,noatime", *propagation]
    entry = MountPoint(" ".join([*fields, "-", "ext4", _escape(source), "rw,errors=continue"]))

    assert (entry.mount_id, entry.parent_id, entry.device, entry.root) == (36, 35, (98, 0), "/")
    assert entry.mount_point == "/mnt/" + point
    assert (entry.options, entry.propagation) == (["rw", "noatime"], propagation)
    assert (entry.type, entry.source, entry.super_options) == ("ext4", source, ["rw", "errors=continue"])


@pytest.mark.parametrize("line", ["", "36 35 98:0 / /mnt rw", "36 35 98:0 / - ext4 x rw", "36 35 98:0 / /m rw - ext4"])
def test_other_lines_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match="mountinfo"):
        MountPoint(line)


def test_the_own_table_has_a_root_and_proc() -> None:
    points = {entry.mount_point: entry.type for entry in mountinfo.read()}

    assert "/" in points
    assert points["/proc"] == "proc"
    assert mountinfo.is_mount_point("/proc")
    assert mountinfo.covering("/proc/self").mount_point == "/proc"


def test_a_path_that_is_not_there_lies_nowhere() -> None:
    with pytest.raises(FileNotFoundError):
        mountinfo.covering(os.path.join("/proc", "no such thing"))
