"""Ports and networks as people type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.network_request import parse_request
from pycontainerd.core.publish import bindings, exposed, extension, parse, parse_network, requests_of


@pytest.mark.parametrize(
    ("text", "requests"),
    [
        ("80", [{"container_port": 80, "proto": "tcp"}]),
        ("8080:80", [{"host_port": 8080, "container_port": 80, "proto": "tcp"}]),
        ("53:53/udp", [{"host_port": 53, "container_port": 53, "proto": "udp"}]),
        ("127.0.0.1::80", [{"host_ip": "127.0.0.1", "container_port": 80, "proto": "tcp"}]),
        ("127.0.0.1:1:2", [{"host_ip": "127.0.0.1", "host_port": 1, "container_port": 2, "proto": "tcp"}]),
        ("[::1]:1:2", [{"host_ip": "::1", "host_port": 1, "container_port": 2, "proto": "tcp"}]),
        ("8000-8001:80", [{"host_port": 8000, "host_port_end": 8001, "container_port": 80, "proto": "tcp"}]),
        ("1-2:3-4", [
            {"host_port": 1, "container_port": 3, "proto": "tcp"},
            {"host_port": 2, "container_port": 4, "proto": "tcp"},
        ]),
    ],
)  # fmt: skip
def test_ports(text: str, requests: list[dict[str, object]]) -> None:
    assert parse(text) == requests


@pytest.mark.parametrize("text", ["", ":", "x", "0", "80:0", "65536", "80/icmp", "1-3:1-2", "2-1:1", "a:b:c", "80:"])
def test_ports_that_are_none(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse(text)


def test_port_nought_of_the_host_is_any() -> None:
    assert parse("0:80") == parse(":80") == parse("80")
    assert parse("127.0.0.1:0:80") == parse("127.0.0.1::80")


@given(st.text(alphabet="0123456789:-/[].tcpud", max_size=20))
def test_ports_parse_or_are_refused(text: str) -> None:
    try:
        requests = parse(text)
    except InvalidArgument:
        return
    assert requests
    assert all(1 <= request["container_port"] <= 65535 for request in requests)


@given(st.integers(1, 65535), st.integers(1, 65535), st.sampled_from(["tcp", "udp"]), st.sampled_from(["", "10.0.0.1"]))
def test_bindings_and_back(host: int, port: int, proto: str, address: str) -> None:
    requests = parse(f"{address}:{host}:{port}/{proto}" if address else f"{host}:{port}/{proto}")
    assert requests_of(bindings(requests)) == requests


def test_exposed() -> None:
    assert (exposed("80"), exposed("53/udp"), exposed("1-9")) == ("80/tcp", "53/udp", "1-9/tcp")
    with pytest.raises(InvalidArgument):
        exposed("http")


def test_networks() -> None:
    assert parse_network("back") == {"network": "back"}
    assert parse_network("name=back,alias=a,alias=b,ip=10.0.0.2") == {
        "network": "back", "aliases": ["a", "b"], "ip": "10.0.0.2",
    }  # fmt: skip
    for text in ("alias=a", "name=back,colour=red"):
        with pytest.raises(InvalidArgument):
            parse_network(text)


def test_the_daemon_understands_the_extension() -> None:
    config = {"Hostname": "h", "ExposedPorts": {"443/tcp": {}, "80/tcp": {}}}
    host = {
        "NetworkMode": "back",
        "PortBindings": bindings(parse("8080:80")),
        "PublishAllPorts": True,
        "Dns": ["1.1.1.1"],
    }
    document = extension(config, host, [{"network": "back", "aliases": ["a"]}])
    assert document is not None
    request = parse_request(document)
    assert [port.container_port for port in request.ports] == [80, 443]
    assert (request.endpoints[0].network, request.endpoints[0].aliases) == ("back", ("a",))
    assert extension(config, {"NetworkMode": "host"}, []) is None
    default = extension({}, {"NetworkMode": "default"}, [{"network": "default"}])
    assert default is not None
    assert default["endpoints"] == [{"network": "bridge"}]
