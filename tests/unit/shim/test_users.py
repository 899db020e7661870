"""User strings looked up in a container's files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.wire.codes import INVALID_ARGUMENT, RpcError
from shim.users import lookup, resolve

if TYPE_CHECKING:
    from pathlib import Path

PASSWD = "root:x:0:0:root:/root:/bin/sh\nbroken\nbob:x:1000:1001::/home/bob:\n1234:x:77:77::/n:\nx:x:bad:0::/:\n"
GROUP = "root:x:0:\nbob:x:1001:\naudio:x:29:bob,eve\nstaff:x:50:\n"


@pytest.mark.parametrize(
    ("user", "uid", "gid", "groups", "home"),
    [
        ("bob", 1000, 1001, [1001, 29], "/home/bob"),
        ("1000", 1000, 1001, [1001, 29], "/home/bob"),
        ("bob:staff", 1000, 50, [50], "/home/bob"),
        ("bob:7", 1000, 7, [7], "/home/bob"),
        ("4000", 4000, 0, [0], "/"),
        ("4000:audio", 4000, 29, [29], "/"),
        (":staff", 0, 50, [50], "/root"),
        ("1234", 77, 77, [77], "/n"),
    ],
)
def test_strings(user: str, uid: int, gid: int, groups: list[int], home: str) -> None:
    found = lookup(user, PASSWD, GROUP)
    assert (found.uid, found.gid, found.groups, found.home) == (uid, gid, groups, home)


def test_further_groups_by_name_and_number() -> None:
    assert lookup("bob", PASSWD, GROUP, "staff, 88,").groups == [1001, 29, 50, 88]


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ("nobody", "unable to find user nobody: no matching entries in passwd file"),
        ("bob:nogroup", "unable to find group nogroup: no matching entries in group file"),
        ("99999999999", "unable to find user 99999999999"),
        ("-1", "unable to find user -1"),
    ],
)
def test_strangers_are_refused(user: str, message: str) -> None:
    with pytest.raises(RpcError, match=message) as caught:
        lookup(user, PASSWD, GROUP)
    assert caught.value.code == INVALID_ARGUMENT


@given(st.text(max_size=30), st.text(max_size=200), st.text(max_size=200), st.text(max_size=20))
def test_whatever_the_files_say(user: str, passwd: str, group: str, more: str) -> None:
    try:
        found = lookup(user, passwd, group, more)
    except RpcError as error:
        code = error.code
    else:
        code = INVALID_ARGUMENT
        assert 0 <= found.uid < 1 << 31
        assert 0 <= found.gid < 1 << 31
    assert code == INVALID_ARGUMENT


def rootfs(path: Path) -> Path:
    (path / "etc").mkdir(parents=True)
    (path / "etc/passwd").write_text(PASSWD)
    (path / "etc/group").write_text(GROUP)
    return path


def test_a_process_is_filled_in_place(tmp_path: Path) -> None:
    process: dict[str, Any] = {"user": {"username": "bob", "additionalGids": [5]}, "env": ["A=b"]}
    assert resolve(process, str(rootfs(tmp_path / "root")))
    assert process == {
        "user": {"uid": 1000, "gid": 1001, "additionalGids": [5, 1001, 29]},
        "env": ["A=b", "HOME=/home/bob"],
    }


def test_home_is_kept_and_numbers_are_left_alone(tmp_path: Path) -> None:
    root = str(rootfs(tmp_path / "root"))
    process: dict[str, Any] = {"user": {"username": "bob"}, "env": ["HOME=/mine"]}
    resolve(process, root)
    assert process["env"] == ["HOME=/mine"]
    untouched: dict[str, Any] = {"user": {"uid": 3, "gid": 4}}
    assert not resolve(untouched, root)
    assert untouched == {"user": {"uid": 3, "gid": 4}}


def test_links_stay_inside(tmp_path: Path) -> None:
    root = rootfs(tmp_path / "root")
    outside = tmp_path / "passwd"
    outside.write_text("bob:x:0:0::/stolen:\n")
    (root / "etc/passwd").unlink()
    (root / "etc/passwd").symlink_to("../../passwd")
    process: dict[str, Any] = {"user": {"username": "bob"}}
    with pytest.raises(RpcError, match="unable to find user bob"):
        resolve(process, str(root))
    (root / "passwd").write_text("bob:x:9:9::/inside:\n")
    assert resolve(process, str(root))
    assert process["user"]["uid"] == 9


def test_a_file_that_would_block_is_no_file(tmp_path: Path) -> None:
    root = rootfs(tmp_path / "root")
    (root / "etc/passwd").unlink()
    os.mkfifo(root / "etc/passwd")
    with pytest.raises(RpcError, match="unable to find user bob"):
        resolve({"user": {"username": "bob"}}, str(root))
