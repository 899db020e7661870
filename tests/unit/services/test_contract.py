"""Every service class against its descriptor, and every descriptor of the API against the classes."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool

import pycontainerd.api
import pycontainerd.services
from pycontainerd.rpc.service import Service

LATER = {
    "containerd.services.sandbox.v1.Controller",
    "containerd.services.sandbox.v1.Store",
    "pycontainerd.events.v1.History",
    "pycontainerd.names.v1.Names",
    "pycontainerd.networks.v1.Networks",
    "pycontainerd.supervisor.v1.Supervisor",
    "pycontainerd.volumes.v1.Volumes",
}
"""What comes with CRI, and with the capabilities whose engines are still being built."""


def classes() -> list[type[Service]]:
    found: list[type[Service]] = []
    for module in pkgutil.iter_modules(pycontainerd.services.__path__, "pycontainerd.services."):
        values = vars(importlib.import_module(module.name)).values()
        kinds = [value for value in values if inspect.isclass(value) and value.__module__ == module.name]
        found += [kind for kind in kinds if issubclass(kind, Service)]
    return found


@pytest.mark.parametrize("kind", [k for k in classes() if hasattr(k, "SERVICE")], ids=lambda k: k.__name__)
def test_a_service_has_every_method_of_its_descriptor_in_the_right_kind(kind: type[Service]) -> None:
    for method in kind.SERVICE.methods:
        handler = inspect.getattr_static(kind, method.name)
        expected = inspect.isasyncgenfunction if method.server_streaming else inspect.iscoroutinefunction
        assert expected(handler), method.full_name
        first, second = list(inspect.signature(handler).parameters)[1:]
        assert (first, second) == ("requests" if method.client_streaming else "request", "call"), method.full_name
        assert inspect.getdoc(handler), method.full_name


def test_every_service_of_the_api_has_a_class() -> None:
    wanted: set[str] = set()
    root = Path(next(iter(pycontainerd.api.__path__)))
    for path in root.rglob("*_pb2.py"):
        name = ".".join(("pycontainerd.api", *path.relative_to(root).with_suffix("").parts))
        wanted |= {service.full_name for service in importlib.import_module(name).DESCRIPTOR.services_by_name.values()}
    wanted = {
        name
        for name in wanted
        if name.startswith(("containerd.services.", "pycontainerd.", "grpc.health.")) and name not in LATER
    }
    have = {str(kind.SERVICE.full_name) for kind in classes() if hasattr(kind, "SERVICE")}
    assert wanted == have - LATER


def test_messages_of_the_api_are_in_the_default_pool() -> None:
    name = "containerd.services.tasks.v1.CreateTaskRequest"
    assert descriptor_pool.Default().FindMessageTypeByName(name).full_name == name
