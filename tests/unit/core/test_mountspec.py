"""``-v``, ``--mount``, ``--tmpfs`` and ``--volumes-from`` as people write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pycontainerd.core import mountspec
from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.mountentries import checked, clean_path, entry_of_mount, entry_of_tmpfs

Json = dict[str, Any]


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("/data", {"type": "volume", "target": "/data", "volume": "", "anonymous": True}),
        ("html:/srv", {"type": "volume", "target": "/srv", "volume": "html"}),
        ("html:/srv/../x/:ro", {"type": "volume", "target": "/x", "volume": "html", "readonly": True, "mode": "ro"}),
        ("html:/srv:ro,nocopy,z", {
            "type": "volume", "target": "/srv", "volume": "html", "readonly": True, "nocopy": True,
            "mode": "ro,nocopy,z",
        }),
        ("/a:/b", {"type": "bind", "source": "/a", "target": "/b", "create": True}),
        ("/a//c/.:/b:Z,rshared,cached", {
            "type": "bind", "source": "/a/c", "target": "/b", "create": True, "propagation": "rshared",
            "mode": "Z,rshared,cached",
        }),
    ],
)  # fmt: skip
def test_volume_flag(text: str, entry: Json) -> None:
    assert mountspec.parse_volume(text) == entry


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "invalid volume specification"),
        (":/b", "invalid volume specification"),
        ("/a::ro", "invalid volume specification"),
        ("/a:/b:ro:x", "invalid volume specification"),
        ("/foo:ro", "options need a source"),
        ("a:b", "mount path must be absolute"),
        ("/a:/", "destination can't be '/'"),
        ("/a:/b/..", "destination can't be '/'"),
        ("x:/b", "at least two alphanumeric"),
        ("a b:/b", "intended to pass a host directory"),
        ("../a:/b", "intended to pass a host directory"),
        ("/a:/b:nope", "invalid mode: nope"),
        ("/a:/b:ro,rw", "invalid mode"),
        ("/a:/b:nocopy", "invalid mode"),
        ("vol:/b:shared", "invalid mode"),
        ("/a:/b:shared,slave", "invalid mode"),
    ],
)
def test_volume_flags_that_make_no_sense(text: str, words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        mountspec.parse_volume(text)
    assert words in str(caught.value)


def test_what_has_no_source_is_the_containers_own() -> None:
    assert mountspec.split_volumes(["/anon", "html:/x", "/a:/b:ro"]) == (["html:/x", "/a:/b:ro"], {"/anon": {}})


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("type=bind,src=/a,dst=/b,readonly", {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True}),
        ("type=bind,source=/a,destination=/b,ro=false,bind-propagation=RSLAVE", {
            "Type": "bind", "Source": "/a", "Target": "/b", "BindOptions": {"Propagation": "rslave"},
        }),
        ("type=bind,src=/a,dst=/b,bind-recursive=disabled", {
            "Type": "bind", "Source": "/a", "Target": "/b", "BindOptions": {"NonRecursive": True},
        }),
        ("target=/b", {"Type": "volume", "Target": "/b"}),
        ("src=data,target=/b,volume-nocopy,volume-subpath=x/y,volume-label=a=b,volume-label=c", {
            "Type": "volume", "Source": "data", "Target": "/b",
            "VolumeOptions": {"NoCopy": True, "Subpath": "x/y", "Labels": {"a": "b", "c": ""}},
        }),
        ('src=data,target=/b,"volume-opt=o=addr=1.2.3.4,rw",volume-opt=type=nfs,volume-driver=local', {
            "Type": "volume", "Source": "data", "Target": "/b",
            "VolumeOptions": {"DriverConfig": {"Name": "local", "Options": {"o": "addr=1.2.3.4,rw", "type": "nfs"}}},
        }),
        ("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770", {
            "Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o1770},
        }),
        ("type=image,source=busybox,target=/i,image-subpath=usr", {
            "Type": "image", "Source": "busybox", "Target": "/i", "ImageOptions": {"Subpath": "usr"},
        }),
        ('type=bind,"source=/a,b",target=/c', {"Type": "bind", "Source": "/a,b", "Target": "/c"}),
        ('"type=bind","source=/a""b",target=/c', {"Type": "bind", "Source": '/a"b', "Target": "/c"}),
    ],
)  # fmt: skip
def test_mount_flag(text: str, mount: Json) -> None:
    assert mountspec.parse_mount(text) == mount


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must be a key=value pair"),
        ("type=bind,src=/a", "target is required"),
        ("type=disk,dst=/b", "invalid mount type 'disk'"),
        ("type=bind,dst=/b", "field Source must not be empty"),
        ("type=bind,src=a,dst=/b", "invalid mount path: 'a' mount path must be absolute"),
        ("type=bind,src=/a,dst=b", "invalid mount path: 'b' mount path must be absolute"),
        ("type=bind,src=/a,dst=/b,what=1", "unexpected key 'what' in 'what=1'"),
        ("type=bind,src=/a,dst=/b,what", "must be a key=value pair"),
        ("type=bind,src=/a,dst=/b,ro=maybe", "invalid value for readonly: maybe"),
        ("type=bind,src=/a,dst=/b,bind-propagation=up", "invalid propagation mode: up"),
        ("type=bind,src=/a,dst=/b,bind-recursive=readonly", "must be read-only"),
        ("type=bind,src=/a,dst=/b,tmpfs-size=1m", "cannot mix 'tmpfs-*' options with mount type 'bind'"),
        ("type=tmpfs,src=/a,dst=/b", "field Source must not be specified"),
        ("type=tmpfs,dst=/b,tmpfs-mode=rw", "invalid value for tmpfs-mode"),
        ("type=tmpfs,dst=/b,tmpfs-size=big", "big"),
        ("src=data,dst=/b,volume-subpath=../x", "must be a relative path"),
        ("src=data,dst=/b,volume-subpath=/x", "must be a relative path"),
        ("dst=/b,volume-subpath=x", "anonymous volumes"),
        ("type=image,dst=/b", "field Source must not be empty"),
        ('type=bind,"src=/a', "never closed"),
        ('type=bind,"src=/a"b,dst=/c', "only a comma"),
    ],
)
def test_mount_flags_that_make_no_sense(text: str, words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        mountspec.parse_mount(text)
    assert words in str(caught.value)


def test_tmpfs_flag() -> None:
    assert mountspec.parse_tmpfs("/run:size=64m,exec,ro") == ("/run", "size=64m,exec,ro")
    entry = entry_of_tmpfs("/run", "size=64m,exec,ro")
    assert entry == {
        "type": "tmpfs",
        "target": "/run",
        "options": ["nosuid", "nodev", "size=64m", "exec"],
        "readonly": True,
    }
    for bad in ("run", "/run:size", "/run:noexec=1", "/run:lowerdir=/", "/"):
        with pytest.raises(InvalidArgument):
            mountspec.parse_tmpfs(bad)


def test_volumes_from() -> None:
    assert mountspec.parse_volumes_from("data") == ("data", "")
    assert mountspec.parse_volumes_from("data:ro,z") == ("data", "ro")
    for bad in ("", ":ro", "data:nocopy", "data:ro,rw"):
        with pytest.raises(InvalidArgument):
            mountspec.parse_volumes_from(bad)


def test_what_is_said_beats_what_is_inherited_and_that_beats_the_image() -> None:
    inherited = [{"type": "volume", "volume": "theirs", "target": path} for path in ("/a", "/b", "/image")]
    config: Json = {"Volumes": {"/image": {}, "/c": {}, "/d": {}}}
    host_config = {
        "Binds": ["mine:/a"], "Mounts": [{"Type": "bind", "Source": "/s", "Target": "/m"}], "Tmpfs": {"/d": "size=1m"},
        "AutoRemove": True,
    }  # fmt: skip

    found = {entry["target"]: entry for entry in mountspec.entries(config, host_config, inherited)}

    assert found["/a"]["volume"] == "mine"
    assert (found["/b"]["volume"], found["/image"]["volume"]) == ("theirs", "theirs")
    assert found["/c"] == {"type": "volume", "target": "/c", "volume": "", "anonymous": True, "remove": True}
    assert found["/d"]["type"] == "tmpfs"
    assert "remove" not in found["/a"]


def test_one_target_twice_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="Duplicate mount point: /b"):
        mountspec.entries({}, {"Binds": ["/a:/b"], "Tmpfs": {"/b/": ""}})


WORDS = st.text(alphabet='/:,="ab.~rozZ \0', max_size=30)


@given(WORDS)
def test_whatever_is_written_is_an_entry_or_a_clear_refusal(text: str) -> None:
    for parse in (mountspec.parse_volume, lambda text: entry_of_mount(mountspec.parse_mount(text))):
        try:
            entry = parse(text)
        except InvalidArgument:
            continue
        assert checked([entry])
        assert entry["target"].startswith("/")
        assert ".." not in entry["target"].split("/")


PATHS = st.text(alphabet="abc/._-", min_size=1, max_size=12).map(lambda text: "/x" + text)


@given(PATHS, PATHS, st.sampled_from(["", "ro", "rw", "z", "Z,ro", "rshared", "slave,ro"]))
def test_binds_keep_their_parts(source: str, target: str, mode: str) -> None:
    assume(clean_path(target) != "/")
    entry = mountspec.parse_volume(f"{source}:{target}" + (f":{mode}" if mode else ""))

    assert entry["type"] == "bind"
    assert entry.get("readonly", False) is ("ro" in mode.split(","))
    assert entry.get("propagation", "") == next((word for word in mode.split(",") if "s" in word), "")


FIELDS = st.text(alphabet='ab,"=', min_size=1, max_size=8)


@given(FIELDS)
def test_any_source_can_be_quoted(text: str) -> None:
    quoted = '"source=/x' + text.replace('"', '""') + '"'

    assert mountspec.parse_mount(f"type=bind,{quoted},target=/t")["Source"] == f"/x{text}"
