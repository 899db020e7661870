"""Names and values of bundles."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core.bundle import (
    MAX_SOCKET_PATH,
    Bootstrap,
    bundle_of,
    group_of,
    parse_bootstrap_text,
    parse_task_address,
    socket_path,
)
from pycontainerd.core.errors import InvalidArgument


def test_bundle_lies_where_tools_look_for_it() -> None:
    bundle = bundle_of("/run/d", "/var/d", "ns", "c1")
    assert bundle.path == "/run/d/io.containerd.runtime.v2.task/ns/c1"
    assert bundle.work == "/var/d/io.containerd.runtime.v2.task/ns/c1"
    assert bundle.config == f"{bundle.path}/config.json"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unix:///run/s/abc", Bootstrap("unix:///run/s/abc", 2, "ttrpc")),
        ("/containerd-shim/abc.sock\n", Bootstrap("/containerd-shim/abc.sock", 2, "ttrpc")),
        ('{"version":3,"address":"unix:///a","protocol":"grpc"}', Bootstrap("unix:///a", 3, "grpc")),
        ('{"address":"unix:///a"}', Bootstrap("unix:///a", 2, "ttrpc")),
    ],
)
def test_bootstrap_forms(text: str, expected: Bootstrap) -> None:
    assert parse_bootstrap_text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n",
        "{}",
        "{",
        "[1]",
        '{"address":""}',
        '{"address":"a","version":4}',
        '{"address":"a","version":1}',
        '{"address":"a","protocol":"http"}',
        "panic: runtime error\ngoroutine 1",
        "\x00\x01",
    ],
)
def test_what_is_no_bootstrap_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_bootstrap_text(text)


def test_bootstrap_is_written_as_json_with_the_known_names() -> None:
    value = json.loads(Bootstrap("unix:///a", 3).to_json())
    assert value == {"version": 3, "address": "unix:///a", "protocol": "ttrpc"}


def test_service_follows_the_version() -> None:
    assert Bootstrap("a", 2).service == "containerd.task.v2.Task"
    assert Bootstrap("a", 3).service == "containerd.task.v3.Task"


def test_an_address_without_scheme_is_abstract() -> None:
    assert Bootstrap("/containerd-shim/x").path == "\0/containerd-shim/x"
    assert Bootstrap("unix:///run/x").path == "/run/x"
    with pytest.raises(InvalidArgument, match="unix"):
        _ = Bootstrap("vsock://3:1024").path


def test_task_address() -> None:
    assert parse_task_address("ttrpc+unix:///run/x", 0) == Bootstrap("unix:///run/x", 3, "ttrpc")
    for bad in ("unix:///run/x", "http+unix:///x", "ttrpc+/run/x"):
        with pytest.raises(InvalidArgument):
            parse_task_address(bad, 3)


def test_group_is_the_first_annotation_that_says_something() -> None:
    both = {"io.kubernetes.cri.sandbox-id": "pod", "io.containerd.runc.v2.group": "group"}
    assert group_of(both, "c") == "group"
    assert group_of({"io.kubernetes.cri.sandbox-id": "pod"}, "c") == "pod"
    assert group_of({"io.containerd.runc.v2.group": ""}, "c") == "c"


@given(st.text(min_size=1, max_size=76), st.text(min_size=1, max_size=76))
def test_socket_paths_fit_and_differ_by_group(one: str, other: str) -> None:
    directory = "/run/pycontainerd/s"
    path = socket_path(directory, "/run/x.sock", "ns", one)
    assert len(path.encode()) <= MAX_SOCKET_PATH
    assert (path == socket_path(directory, "/run/x.sock", "ns", other)) == (one == other)


def test_a_long_directory_gets_a_shorter_name_and_a_hopeless_one_an_error() -> None:
    assert len(socket_path("/" + "d" * 60, "a", "ns", "c")) <= MAX_SOCKET_PATH
    with pytest.raises(InvalidArgument, match="--state"):
        socket_path("/" + "d" * 90, "a", "ns", "c")
