"""Decisions about volumes: options, filters, rows against directories."""

from __future__ import annotations

import itertools

import pytest

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.values import Mount
from pycontainerd.core.volumes import (
    Action,
    State,
    Volume,
    address_of,
    alike,
    check_new,
    check_options,
    compile_filters,
    is_anonymous_name,
    mount_of,
    reconcile,
)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"size": "1g"},
        {"type": "none", "o": "bind", "device": "/srv"},
        {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=1000"},
        {"type": "tmpfs", "device": "tmpfs", "size": "1m"},
        {"type": "nfs", "o": "addr=10.0.0.1,rw", "device": ":/export"},
        {"type": "nfs4", "device": "server:/export"},
        {"type": "cifs", "o": "addr=h,username=u", "device": "//h/share"},
    ],
)
def test_options_that_make_a_volume(options: dict[str, str]) -> None:
    check_options(options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"foo": "1"}, 'invalid option: "foo"'),
        ({"size": "big"}, "big"),
        ({"type": "tmpfs"}, "missing device in volume options"),
        ({"o": "bind"}, "missing device in volume options"),
        ({"device": "/srv"}, "missing type in volume options"),
        ({"type": "none", "o": "bind", "device": "srv"}, "absolute path"),
        ({"type": "none", "o": "bind", "device": "/srv", "size": "1g"}, "bounds a volume of our own"),
        ({"type": "nfs", "device": ":/export"}, "missing address"),
    ],
)
def test_options_that_do_not(options: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_options(options)
    assert words in str(caught.value)


def test_what_is_mounted() -> None:
    bind = {"type": "none", "o": "bind,ro", "device": "/srv"}
    assert mount_of(bind) == Mount("none", "/srv", options=("bind", "ro"))
    nfs = {"type": "nfs", "o": "addr=host,rw", "device": ":/export"}
    assert address_of(nfs) == "host"
    assert mount_of(nfs, "10.0.0.1") == Mount("nfs", ":/export", options=("addr=10.0.0.1", "rw"))
    assert mount_of({"type": "tmpfs", "device": "tmpfs", "size": "1m"}).options == ("size=1048576",)


def test_new_volumes() -> None:
    check_new(Volume(""))
    for bad in (Volume("x"), Volume("a/b"), Volume("ok", driver="rclone"), Volume("ok", options={"foo": ""})):
        with pytest.raises(InvalidArgument):
            check_new(bad)
    assert Volume("ok", options={"size": "1k"}).size == 1024
    assert alike(Volume("a", options={"size": "1k"}), Volume("a"))
    assert not alike(Volume("a"), Volume("a", options={"size": "1k"}))
    assert is_anonymous_name("0a" * 32)
    assert not is_anonymous_name("0A" * 32)


VOLUMES = [
    Volume("html", labels={"tier": "web", "empty": ""}),
    Volume("html-old", labels={"tier": "db"}),
    Volume("0a" * 32, anonymous=True),
]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ([], {0, 1, 2}),
        (["name=html"], {0, 1}),
        (["name=^html$"], {0}),
        (["name=(", "name=old"], {1}),
        (["label=tier"], {0, 1}),
        (["label=tier=web"], {0}),
        (["label=tier", "label=empty"], {0}),
        (["label!=tier=web"], {1, 2}),
        (["label!=tier"], {2}),
        (["driver=local"], {0, 1, 2}),
        (["driver=nfs"], set()),
        (["dangling=true"], {1, 2}),
        (["dangling=0", "name=html"], {0}),
        (["anonymous=true"], {2}),
    ],
)
def test_filters(filters: list[str], names: set[int]) -> None:
    matches = compile_filters(filters)

    assert {index for index, volume in enumerate(VOLUMES) if matches(volume, index == 0)} == names


@pytest.mark.parametrize("text", ["name", "size=1", "dangling=maybe", "=x"])
def test_filters_that_are_none(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid filter"):
        compile_filters([text])


def test_only_what_was_never_acknowledged_or_is_to_go_is_ever_deleted() -> None:
    for row, directory, state, old in itertools.product((True, False), (True, False), State, (True, False)):
        if not row and not directory:
            continue
        action = reconcile(row=row, directory=directory, state=state, old_directory=old)
        assert (action is Action.DELETE) is (not row and state in {State.NEW, State.DOOMED})
        if not row and state is State.PLAIN:
            assert action is Action.ADOPT
        if row and not directory:
            assert action is (Action.FINISH_RENAME if old else Action.LOST)
