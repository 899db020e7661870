"""Messages and methods are found by name."""

from __future__ import annotations

import pytest

from pycontainerd.wire import registry
from pycontainerd.wire.messages import index
from pycontainerd.wire.messages.events_task import TaskExit
from pycontainerd.wire.messages.google import Any
from pycontainerd.wire.messages.types import Envelope
from pycontainerd.wire.scalars import DecodeError


def test_an_any_names_its_type_without_a_prefix() -> None:
    packed = registry.pack_any(TaskExit(container_id="a", exit_status=3))
    assert packed.type_url == "containerd.events.TaskExit"
    assert registry.unpack_any(packed) == TaskExit(container_id="a", exit_status=3)


def test_a_prefix_is_accepted() -> None:
    packed = Any(type_url="type.googleapis.com/containerd.events.TaskExit", value=TaskExit(id="x").encode())
    assert registry.unpack_any(packed) == TaskExit(id="x")


def test_what_is_not_ours() -> None:
    with pytest.raises(KeyError):
        registry.unpack_any(Any(type_url="types.containerd.io/opencontainers/runtime-spec/1/Spec"))
    with pytest.raises(KeyError):
        registry.methods("no.such.Service")
    with pytest.raises(DecodeError):
        registry.unpack_any(Any(type_url="containerd.events.TaskExit", value=b"\xff"))


def test_every_message_and_method_is_found() -> None:
    for name in index.MESSAGES:
        assert name == registry.message_class(name).TYPE
    for service in index.SERVICES:
        assert registry.methods(service)


def test_a_method_tells_its_classes_and_who_streams() -> None:
    subscribe = registry.methods("containerd.services.events.v1.Events")["Subscribe"]
    assert subscribe.response is Envelope
    assert (subscribe.client_streaming, subscribe.server_streaming) == (False, True)
    write = registry.methods("containerd.services.content.v1.Content")["Write"]
    assert (write.client_streaming, write.server_streaming) == (True, True)
