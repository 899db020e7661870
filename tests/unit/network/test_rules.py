"""The packet filter as text, plans, and other people's filters."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core import network_rules as rules
from pycontainerd.core.network import (
    BRIDGE_ICC,
    BRIDGE_MASQUERADE,
    BRIDGE_NAME,
    Endpoint,
    Network,
    PublishedPort,
    Sandbox,
    SandboxRequest,
    Subnet,
)
from pycontainerd.core.network_blockers import Blockers, find_blockers, warning
from pycontainerd.core.network_plan import BridgeDriver, Marks, port_target, publish_ops, route_op
from pycontainerd.core.ports import Target

V4 = Subnet("10.0.0.0/24", "10.0.0.1")
V6 = Subnet("fd00::/64", "fd00::1")
PLAIN = Network("ns", "1" * 64, "plain", subnets=(V4,), link="br1")
DUAL = Network("ns", "2" * 64, "dual", subnets=(Subnet("10.0.1.0/24", "10.0.1.1"), V6), link="br2", ipv6=True)
INTERNAL = Network("ns", "3" * 64, "inside", subnets=(Subnet("10.0.2.0/24", "10.0.2.1"),), link="br3", internal=True)


def endpoint(network: Network, ip4: str = "", ip6: str = "", interface: str = "eth0") -> Endpoint:
    return Endpoint(
        "e" + network.id, "ns", "c", network.id, network.name, interface, "02:42:00:00:00:01", ip4, ip6, (), "pcv1"
    )


class TestElements:
    def test_of_a_plain_network(self) -> None:
        assert rules.network_elements(PLAIN, filtered=True) == {
            "bridges": {'"br1"': ""},
            "icc": {'"br1" . "br1"': ""},
            "masq4": {"10.0.0.0/24": ""},
        }

    def test_of_networks_with_options(self) -> None:
        assert "masq4" not in rules.network_elements(INTERNAL, filtered=True)
        assert rules.network_elements(INTERNAL, filtered=True)["internal"] == {'"br3"': ""}
        quiet = Network(
            "ns", "4", "q", subnets=(V4,), link="br4", options={BRIDGE_ICC: "false", BRIDGE_MASQUERADE: "0"}
        )
        found = rules.network_elements(quiet, filtered=True)
        assert "icc" not in found
        assert "masq4" not in found
        assert "hairpin4" not in found
        assert rules.network_elements(quiet, filtered=False)["hairpin4"] == {'"br4" . 10.0.0.0/24': ""}

    def test_of_ports_lead_each_family_to_its_address(self) -> None:
        ports = [PublishedPort("tcp", "", 8080, 80), PublishedPort("udp", "127.0.0.1", 53, 5353)]
        assert rules.port_elements(ports, Target("10.0.0.2", "fd00::2")) == {
            "any4": {"tcp . 8080": "10.0.0.2 . 80"},
            "any6": {"tcp . 8080": "fd00::2 . 80"},
            "ports4": {"udp . 127.0.0.1 . 53": "10.0.0.2 . 5353"},
            "self4": {"10.0.0.2 . 10.0.0.2": ""},
            "self6": {"fd00::2 . fd00::2": ""},
        }
        assert rules.port_elements([PublishedPort("tcp", "::1", 1, 1)], Target("10.0.0.2", "fd00::2")) == {}

    def test_localnet_is_opened_only_for_ports_on_it(self) -> None:
        assert rules.needs_localnet([PublishedPort("tcp", "", 1, 1)])
        assert rules.needs_localnet([PublishedPort("tcp", "127.0.0.5", 1, 1)])
        assert not rules.needs_localnet([PublishedPort("tcp", "192.0.2.1", 1, 1), PublishedPort("tcp", "::", 1, 1)])

    @given(st.data())
    def test_a_change_touches_what_differs_and_nothing_else(self, data: st.DataObject) -> None:
        keys = st.dictionaries(st.sampled_from(["1", "2", "3"]), st.sampled_from(["a", "b"]))
        old = data.draw(st.dictionaries(st.sampled_from(["any4", "any6"]), keys))
        new = data.draw(st.dictionaries(st.sampled_from(["any4", "any6"]), keys))
        state = {name: dict(items) for name, items in old.items()}
        for line in rules.change_script("t", old, new).splitlines():
            verb, _, _, _, name, rest = line.split(" ", 5)
            for item in rest.strip("{} ").split(", "):
                key, _, value = item.partition(" : ")
                if verb == "delete":
                    del state[name][key]
                else:
                    assert key not in state.setdefault(name, {}), "an element is added over another"
                    state[name][key] = value
        assert {n: i for n, i in state.items() if i} == {n: i for n, i in new.items() if i}


@pytest.mark.root
@pytest.mark.skipif(shutil.which("nft") is None, reason="no nft")
def test_nftables_takes_the_whole_table_and_changes_to_it() -> None:
    old = rules.merged([rules.network_elements(n, filtered=False) for n in (PLAIN, DUAL, INTERNAL)])
    ports = rules.port_elements(
        [PublishedPort("tcp", "", 1, 2), PublishedPort("udp", "::", 3, 4)], Target("10.0.0.2", "fd00::2")
    )
    script = rules.table_script("t", [old]) + rules.change_script("t", {}, ports)
    script += rules.change_script("t", {**old, **ports}, {}) + rules.drop_script("t")
    done = subprocess.run(
        ["unshare", "-n", "nft", "-f", "-"], input=script, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


class TestPlans:
    driver = BridgeDriver(Marks("tag"))

    def test_a_bridge_has_its_gateways_and_the_host_forwards(self) -> None:
        bridge, forward, forward6 = self.driver.network_up(DUAL)
        assert bridge["addresses"] == ["10.0.1.1/24", "fd00::1/64"]
        assert bridge["alias"] == f"pycontainerd:tag:network:{DUAL.id}"
        assert (forward["key"], forward6["op"]) == ("net/ipv4/ip_forward", "forward6")
        assert [op["op"] for op in self.driver.network_up(INTERNAL)] == ["bridge"]

    def test_bridges_are_named_by_their_network_or_their_user(self) -> None:
        assert self.driver.link(Network("ns", "abcdef0123456789", "n")) == "pcbr-abcdef0123"
        assert self.driver.link(Network("ns", "a", "n", options={BRIDGE_NAME: "br-mine"})) == "br-mine"

    def test_an_endpoint_is_a_pair_with_addresses(self) -> None:
        (op,) = self.driver.endpoint_up(DUAL, endpoint(DUAL, "10.0.1.2", "fd00::2"), "/netns")
        assert op["addresses"] == ["10.0.1.2/24", "fd00::2/64"]
        assert (op["master"], op["isolated"], op["netns"]) == ("br2", False, "/netns")

    def test_the_way_out_is_the_first_network_that_has_one(self) -> None:
        networks = {n.id: n for n in (PLAIN, DUAL, INTERNAL)}
        endpoints = (
            endpoint(INTERNAL, "10.0.2.2", interface="eth0"),
            endpoint(PLAIN, "10.0.0.2", interface="eth1"),
            endpoint(DUAL, "10.0.1.2", "fd00::2", interface="eth2"),
        )
        assert route_op("/n", endpoints, networks)["defaults"] == {"4": ["10.0.0.1", "eth1"], "6": ["fd00::1", "eth2"]}
        assert port_target(endpoints, networks) == Target("10.0.0.2", "fd00::2")
        assert route_op("/n", endpoints[:1], networks)["defaults"] == {}
        assert port_target(endpoints[:1], networks) == Target()

    def test_bridges_are_prepared_for_ports_only_where_there_are_some(self) -> None:
        sandbox = Sandbox("ns", "c", SandboxRequest(), endpoints=(endpoint(PLAIN, "10.0.0.2"),))
        assert publish_ops(sandbox, {PLAIN.id: PLAIN}) == []
        published = Sandbox(
            "ns", "c", SandboxRequest(), endpoints=sandbox.endpoints, ports=(PublishedPort("tcp", "", 1, 1),)
        )
        assert [op["op"] for op in publish_ops(published, {PLAIN.id: PLAIN})] == ["hairpin", "localnet"]


class TestOtherFilters:
    @staticmethod
    def chain(family: str, table: str, name: str, policy: str = "", hook: str = "") -> dict[str, object]:
        base = {"type": "filter", "hook": hook, "policy": policy} if hook else {}
        return {"chain": {"family": family, "table": table, "name": name, **base}}

    def test_nothing_is_in_the_way_of_nothing(self) -> None:
        assert find_blockers({"nftables": [{"metainfo": {}}]}, "own") == Blockers()
        assert (
            find_blockers({"nftables": [self.chain("inet", "own", "forward", "drop", "forward")]}, "own") == Blockers()
        )

    def test_docker_has_a_chain_for_us(self) -> None:
        listing = {
            "nftables": [
                self.chain("ip", "filter", "FORWARD", "drop", "forward"),
                self.chain("ip", "filter", "DOCKER-USER"),
            ]
        }
        assert find_blockers(listing, "own") == Blockers(docker=(4,))

    def test_firewalld_has_zones(self) -> None:
        assert find_blockers({"nftables": [self.chain("inet", "firewalld", "f", "accept", "forward")]}, "own").firewalld

    def test_anybody_elses_drop_is_named(self) -> None:
        (blocker,) = find_blockers({"nftables": [self.chain("inet", "mine", "fw", "drop", "forward")]}, "own").others
        assert blocker == "table inet mine, chain fw"
        assert "br1" in warning(blocker, "br1")

    def test_old_iptables_is_read_too(self) -> None:
        assert find_blockers({}, "own", ["-P FORWARD DROP"]).others == ("iptables-legacy's chain FORWARD",)
        assert find_blockers({}, "own", ["-P FORWARD DROP", "-N DOCKER-USER"]) == Blockers(docker=(4,))
