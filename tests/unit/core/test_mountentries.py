"""Mount entries: what a client may say, what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core import mountentries
from pycontainerd.core.errors import InvalidArgument

Json = dict[str, Any]


@pytest.mark.parametrize(
    "document",
    [
        {},
        ["text"],
        [{"target": "/a"}],
        [{"type": "disk", "target": "/a"}],
        [{"type": "tmpfs"}],
        [{"type": "tmpfs", "target": "a"}],
        [{"type": "tmpfs", "target": "/a", "options": {"size": "1"}}],
        [{"type": "tmpfs", "target": "/a", "options": [1]}],
        [{"type": "tmpfs", "target": "/a", "unheard": "of"}],
        [{"type": "tmpfs", "target": "/a", "readonly": "yes"}],
        [{"type": "bind", "target": "/a"}],
        [{"type": "bind", "target": "/a", "source": "/b\0"}],
        [{"type": "bind", "target": "/a", "source": "b"}],
        [{"type": "bind", "target": "/a", "source": "/b", "propagation": "up"}],
        [{"type": "volume", "target": "/a", "volume": "../x"}],
        [{"type": "volume", "target": "/a", "volume": "vol", "subpath": "a/../../b"}],
        [{"type": "tmpfs", "target": "/a"}, {"type": "tmpfs", "target": "/a/"}],
    ],
)
def test_entries_that_are_none(document: object) -> None:
    with pytest.raises(InvalidArgument):
        mountentries.checked(document)


def test_what_is_kept_is_clean_and_checks_again_to_itself() -> None:
    kept = mountentries.checked(
        [{"type": "volume", "target": "/a/../b/", "volume": "", "nocopy": False, "subpath": ""}]
    )

    assert kept == [{"type": "volume", "target": "/b", "volume": ""}]
    assert mountentries.checked(kept) == kept


def test_options_of_a_mount() -> None:
    bind = {"type": "bind", "source": "/a", "target": "/b"}
    assert mountentries.options_of(bind) == ["rbind", "rprivate", "rw"]
    strict = {**bind, "readonly": True, "recursive": "readonly", "propagation": "rslave"}
    assert mountentries.options_of(strict) == ["rbind", "rslave", "rro"]
    assert mountentries.options_of({**bind, "recursive": "disabled"})[0] == "bind"
    assert mountentries.options_of({"type": "tmpfs", "target": "/t", "options": ["nodev"], "readonly": True}) == [
        "nodev",
        "ro",
    ]


def test_an_image_is_never_written_to() -> None:
    image = {"type": "image", "target": "/i", "source": "busybox", "snapshotter": "overlay", "snapshot": "view"}
    for entry in (image, {**image, "readonly": True}, {**image, "readonly": False, "recursive": "disabled"}):
        assert mountentries.options_of(entry) == ["rbind", "rprivate", "ro"]


def test_inherited_entries_are_filled_and_owned_by_the_first() -> None:
    theirs: list[Json] = [
        {"type": "volume", "volume": "a" * 64, "target": "/a", "anonymous": True, "remove": True},
        {"type": "bind", "source": "/s", "target": "/s", "readonly": True},
        {"type": "tmpfs", "target": "/t", "options": []},
    ]

    as_they_are = mountentries.inherited(theirs, "")
    assert [entry["target"] for entry in as_they_are] == ["/a", "/s"]
    assert "remove" not in as_they_are[0]
    assert as_they_are[0]["anonymous"]
    assert as_they_are[1]["readonly"]
    assert all(entry.get("readonly") for entry in mountentries.inherited(theirs, "ro"))
    assert mountentries.inherited(theirs, "rw") == as_they_are


def test_shown_as_docker_shows_them() -> None:
    entries: list[Json] = [
        {"type": "volume", "volume": "html", "target": "/x", "readonly": True},
        {"type": "bind", "source": "/s", "target": "/b", "propagation": "rslave"},
        {"type": "tmpfs", "target": "/t"},
    ]

    shown = mountentries.shown(entries, lambda name: f"/root/{name}/_data")

    assert shown == [
        {"Type": "bind", "Source": "/s", "Destination": "/b", "Mode": "", "RW": True, "Propagation": "rslave"},
        {
            "Type": "volume", "Name": "html", "Source": "/root/html/_data", "Driver": "local", "Destination": "/x",
            "Mode": "z", "RW": False, "Propagation": "",
        },
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["ab", "a.b-c_d", "0" * 64, "A" * 255])
def test_volume_names(name: str) -> None:
    assert mountentries.check_volume_name(name) == name


@pytest.mark.parametrize("name", ["", "a", ".a", "-a", "a/b", "a b", "ä", "a\n", "A" * 256])
def test_what_is_no_volume_name(name: str) -> None:
    with pytest.raises(InvalidArgument):
        mountentries.check_volume_name(name)


@given(st.text(alphabet="/.ab", max_size=20))
def test_a_subpath_never_leads_out(path: str) -> None:
    try:
        clean = mountentries.check_subpath(path)
    except InvalidArgument:
        assert path.startswith("/") or ".." in path.split("/")
    else:
        assert not {"..", ".", ""} & set(clean.split("/")) or clean == ""
