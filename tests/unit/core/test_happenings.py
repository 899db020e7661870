"""Messages in the words of Docker's events."""

from __future__ import annotations

import json

import pytest

from pycontainerd.core import happenings, mountentries, settings
from pycontainerd.core.containers import Container
from pycontainerd.core.values import AnyValue


def container(**extensions: object) -> Container:
    values = {
        key.replace("_", "."): AnyValue("", value if isinstance(value, bytes) else json.dumps(value).encode())
        for key, value in extensions.items()
    }
    return Container(id="c1", image="docker.io/library/busybox:latest", runtime="r", labels={}, extensions=values)


SETTINGS = {"Config": {"Image": "busybox", "Labels": {"a": "1", "name": "never"}}, "HostConfig": {}}
ENTRIES = [
    {"type": "volume", "volume": "v", "target": "/d", "readonly": True},
    {"type": "bind", "source": "/s", "target": "/b"},
]


def test_a_record_tells_what_readers_have_to_know() -> None:
    value = container(io_pycontainerd_container=SETTINGS, io_pycontainerd_mounts=ENTRIES)
    assert settings.EXTENSION in value.extensions
    assert mountentries.EXTENSION in value.extensions
    told = happenings.record("create", value)
    assert (told.type, told.action, told.id) == ("container", "create", "c1")
    assert told.attributes == {"a": "1", "name": "c1", "image": "busybox"}
    assert [(mount.volume, mount.destination, mount.readonly) for mount in told.mounts] == [("v", "/d", True)]


def test_a_foreign_record_tells_its_own_labels() -> None:
    value = Container(id="x", image="i:1", runtime="r", labels={"k": "v", settings.NAME_LABEL: "web"})
    told = happenings.record("destroy", value)
    assert told.attributes == {"k": "v", settings.NAME_LABEL: "web", "image": "i:1", "name": "web"}


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"null", b"1"])
def test_extensions_that_are_none_do_no_harm(data: bytes) -> None:
    value = container(io_pycontainerd_container=data, io_pycontainerd_mounts=b"{}")
    assert happenings.record("create", value).attributes["name"] == "c1"


def test_topics_have_the_first_word_of_the_action() -> None:
    told = happenings.exec_created("c1", "e", AnyValue("", json.dumps({"args": ["sh", "-c", "a: b"]}).encode()))
    assert told.action == "exec_create: sh -c a: b"
    assert happenings.topic_of(told) == "/happened/container/exec_create"
    assert happenings.topic_of(happenings.network("connect", "id", "n", "bridge")) == "/happened/network/connect"
