"""Reading extensions and requests."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core.containers import Container
from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.network import EXTENSION, EndpointRequest, NetworkSpec, PortRequest, Subnet
from pycontainerd.core.network_request import (
    check_bridge_options,
    check_spec,
    from_json,
    parse_request,
    sandbox_request,
    to_json,
)
from pycontainerd.core.values import AnyValue

_KEYS = st.sampled_from(["mode", "endpoints", "ports", "dns", "network", "ip", "container_port", "aliases"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(_KEYS, inner)
)


def container(value: bytes) -> Container:
    return Container("c", extensions={EXTENSION: AnyValue("t", value)})


class TestExtension:
    def test_says_bridge_when_it_says_nothing(self) -> None:
        request = parse_request({})
        assert (request.mode, request.endpoints) == ("bridge", (EndpointRequest("bridge"),))

    def test_names_a_network_as_mode(self) -> None:
        assert parse_request({"mode": "my-net"}).endpoints == (EndpointRequest("my-net"),)

    def test_names_another_container(self) -> None:
        request = parse_request({"mode": "container:web"})
        assert (request.mode, request.peer, request.endpoints) == ("container", "web", ())

    def test_has_addresses_in_canonical_form(self) -> None:
        (endpoint,) = parse_request(
            {"endpoints": [{"network": "n", "ip6": "FD00:0::1", "mac": "02-42-00-00-00-0A"}]}
        ).endpoints
        assert (endpoint.ip6, endpoint.mac) == ("fd00::1", "02:42:00:00:00:0a")

    def test_has_ports_in_all_forms(self) -> None:
        value = {
            "ports": [
                {"container_port": 80},
                {"container_port": 53, "proto": "UDP", "host_ip": "[::1]", "host_port": 5353},
            ]
        }
        assert parse_request(value).ports == (PortRequest(80), PortRequest(53, 5353, 0, "::1", "udp"))

    def test_absent_means_that_the_container_is_not_ours(self) -> None:
        assert sandbox_request(Container("c")) is None

    @pytest.mark.parametrize(
        ("value", "sentence"),
        [
            ({"mode": "container:"}, "name a container"),
            ({"mode": "a:b"}, "want bridge, host, none"),
            ({"mode": "host", "endpoints": [{"network": "n"}]}, "mode host cannot join networks"),
            ({"mode": "container:x", "ports": [{"container_port": 1}]}, "publish them on the container"),
            ({"endpoints": [{"network": "n"}, {"network": "n"}]}, "named twice"),
            ({"endpoints": [{"network": ""}]}, "must not be empty"),
            ({"endpoints": [{"network": "n", "ip": "fd00::1"}]}, "is not an IPv4 address"),
            ({"endpoints": [{"network": "n", "aliases": ["a b"]}]}, "is no host name"),
            ({"ports": [{"container_port": 0}]}, "want 1 to 65535"),
            ({"ports": [{"container_port": 80, "proto": "sctp"}]}, "sctp"),
            ({"ports": [{"container_port": 80, "host_port": 9, "host_port_end": 8}]}, "ends before it starts"),
            ({"ports": [{"container_port": 80, "host_ip": "host"}]}, "is not an IP address"),
            ({"ports": [{"container_port": 80, "host_port": 1}] * 2}, "named twice"),
            ({"port": []}, "unknown key"),
        ],
    )
    def test_that_makes_no_sense_is_refused(self, value: dict[str, Any], sentence: str) -> None:
        with pytest.raises(InvalidArgument, match=sentence):
            parse_request(value)

    @pytest.mark.parametrize(
        "value", [b"", b"{", b"[]", b"\xff", b'{"ports": 1}', b'{"ports": [1]}', b'{"mode": 1}', b'{"dns": [1]}']
    )
    def test_of_wrong_types_is_refused_in_a_sentence(self, value: bytes) -> None:
        with pytest.raises(InvalidArgument, match=r"extension io\.pycontainerd\.network"):
            sandbox_request(container(value))

    @given(VALUES)
    def test_never_does_worse_than_refuse(self, value: object) -> None:
        try:
            request = sandbox_request(container(json.dumps(value).encode()))
        except InvalidArgument:
            return
        assert request is not None
        assert from_json(to_json(request)) == request

    def test_survives_the_rows(self) -> None:
        value = {
            "mode": "bridge",
            "endpoints": [{"network": "n", "aliases": ["db"], "ip": "10.0.0.2"}],
            "ports": [{"container_port": 80, "host_port": 8080, "host_port_end": 8090, "host_ip": "127.0.0.1"}],
            "dns": ["1.1.1.1"],
            "extra_hosts": ["a:1.2.3.4"],
            "hostname": "h",
        }
        request = parse_request(value)
        assert from_json(to_json(request)) == request
        joined = parse_request({"mode": "container:x"})
        assert from_json(to_json(joined)) == joined


class TestSpec:
    @pytest.mark.parametrize("name", ["", "host", "none", "bridge", "a b", "-a", "a/b", "a" * 129])
    def test_names_that_are_refused(self, name: str) -> None:
        with pytest.raises(InvalidArgument, match="network name"):
            check_spec(NetworkSpec(name))

    def test_one_subnet_a_family(self) -> None:
        spec = check_spec(NetworkSpec("n", subnets=(Subnet("10.0.0.0/24"), Subnet("fd00::/64"))))
        assert spec.ipv6
        with pytest.raises(InvalidArgument, match="two IPv4 subnets"):
            check_spec(NetworkSpec("n", subnets=(Subnet("10.0.0.0/24"), Subnet("10.0.1.0/24"))))

    @pytest.mark.parametrize(
        "options",
        [
            {"com.docker.network.bridge.name": "a-name-that-is-too-long"},
            {"com.docker.network.bridge.name": "a/b"},
            {"com.docker.network.driver.mtu": "12"},
            {"com.docker.network.bridge.enable_icc": "perhaps"},
            {"com.docker.network.bridge.unheard_of": "1"},
        ],
    )
    def test_options_that_are_refused(self, options: dict[str, str]) -> None:
        with pytest.raises(InvalidArgument):
            check_bridge_options(options)

    def test_other_programs_options_pass(self) -> None:
        check_bridge_options({"org.example": "x", "com.docker.network.driver.mtu": "1400"})
