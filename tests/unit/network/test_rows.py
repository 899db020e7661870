"""Rows of networks, endpoints and addresses."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pycontainerd.core.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
)
from pycontainerd.core.network import EndpointRequest, Network, PublishedPort, Sandbox, Subnet
from pycontainerd.core.network_request import parse_request
from pycontainerd.stores.database import Database
from pycontainerd.stores.networks import NetworkRows
from pycontainerd.stores.schema import STEPS

NET = Network("ns", "a" * 64, "net", subnets=(Subnet("10.0.0.0/29", "10.0.0.1"),), link="br-a", labels={"k": "v"})
SIX = Network(
    "ns",
    "ab" * 32,
    "six",
    subnets=(Subnet("10.0.1.0/24", "10.0.1.1"), Subnet("fd00::/64", "fd00::1")),
    ipv6=True,
    link="br-b",
    options={"o": "1"},
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(str(tmp_path / "db"), STEPS)
    yield made
    made.close()


@pytest.fixture
def rows(database: Database) -> NetworkRows:
    made = NetworkRows(database, lambda namespace, container: f"/netns/{namespace}/{container}")
    made.create(NET)
    made.create(SIX)
    return made


def join(rows: NetworkRows, container: str, *networks: str, **wanted: Any) -> Sandbox:
    value = {"endpoints": [{"network": name, **wanted} for name in networks]}
    return rows.open("ns", container, f"name-of-{container}", parse_request(value))


def left(database: Database) -> list[int]:
    tables = ("addresses", "endpoints", "sandboxes", "published_ports")
    return [database.read(lambda c, t=table: c.execute(f"SELECT count(*) FROM {t}").fetchone()[0]) for table in tables]  # type: ignore[misc]


class TestNetworks:
    def test_come_back_as_they_were(self, rows: NetworkRows) -> None:
        found = rows.get("ns", "six")
        assert dataclasses.replace(found, created_at=None) == SIX
        assert found.created_at is not None

    def test_are_found_by_name_id_and_its_beginning(self, rows: NetworkRows) -> None:
        assert rows.get("ns", "a" * 64).name == rows.get("ns", "aaaa").name == "net"
        assert rows.get("ns", "abab").name == "six"
        for key in ("nope", "aa", "aaab"):
            with pytest.raises(NotFound):
                rows.get("ns", key)
        rows.create(Network("ns", "aaaa" + "b" * 60, "other"))
        with pytest.raises(InvalidArgument, match="write more of it"):
            rows.get("ns", "aaaa")

    def test_names_go_before_ids(self, rows: NetworkRows) -> None:
        rows.create(Network("ns", "c" * 64, "a" * 64))
        assert rows.get("ns", "a" * 64).id == "c" * 64

    def test_belong_to_namespaces_but_subnets_and_links_to_the_host(self, rows: NetworkRows) -> None:
        with pytest.raises(NotFound):
            rows.get("other", "net")
        rows.create(Network("other", "d" * 64, "net", subnets=(Subnet("10.9.0.0/24"),)))
        with pytest.raises(AlreadyExists, match='network "net"'):
            rows.create(Network("ns", "e" * 64, "net"))
        with pytest.raises(FailedPrecondition, match=r"overlaps 10.0.0.0/29 of network net of namespace ns"):
            rows.create(Network("other", "e" * 64, "x", subnets=(Subnet("10.0.0.0/24"),)))
        with pytest.raises(FailedPrecondition, match=r'bridge "br-a" .is network net.s'):
            rows.create(Network("other", "e" * 64, "x", link="br-a"))

    def test_in_use_are_kept_and_say_by_whom(self, rows: NetworkRows) -> None:
        for number in range(5):
            join(rows, f"c{number}", "net")
        with pytest.raises(FailedPrecondition, match="used by name-of-c0, name-of-c1"):
            rows.begin_delete(rows.get("ns", "net"))
        assert not rows.get("ns", "net").removing

    def test_on_their_way_out_take_nobody_in(self, rows: NetworkRows) -> None:
        leaving = rows.begin_delete(rows.get("ns", "net"))
        with pytest.raises(NotFound, match="being removed"):
            join(rows, "c", "net")
        assert rows.sandbox("ns", "c") is None
        rows.delete(leaving)
        with pytest.raises(NotFound):
            rows.get("ns", "net")
        rows.create(NET)


class TestSandboxes:
    def test_open_once_with_all_their_endpoints(self, rows: NetworkRows) -> None:
        sandbox = join(rows, "c", "net", "six", aliases=["db"])
        first, second = sandbox.endpoints
        assert (first.interface, first.ip4, first.ip6, first.aliases) == ("eth0", "10.0.0.2", "", ("db",))
        assert (second.interface, second.ip4, second.ip6) == ("eth1", "10.0.1.2", "fd00::2")
        assert second.mac == "02:42:0a:00:01:02"
        assert sandbox.netns == "/netns/ns/c"
        assert join(rows, "c", "net") == sandbox

    def test_open_wholly_or_not_at_all(self, rows: NetworkRows, database: Database) -> None:
        with pytest.raises(NotFound):
            join(rows, "c", "net", "nope")
        assert left(database) == [0, 0, 0, 0]

    def test_close_without_a_trace(self, rows: NetworkRows, database: Database) -> None:
        sandbox = join(rows, "c", "net", "six")
        rows.publish(sandbox, [PublishedPort("tcp", "", 80, 80)])
        rows.close("ns", "c")
        rows.close("ns", "c")
        assert left(database) == [0, 0, 0, 0]

    def test_live_and_end(self, rows: NetworkRows) -> None:
        sandbox = join(rows, "c", "net")
        active = rows.activate(sandbox, {sandbox.endpoints[0].id: "pcv1"})
        assert (active.active, active.endpoints[0].link) == (True, "pcv1")
        rows.publish(active, [PublishedPort("tcp", "", 80, 8080), PublishedPort("udp", "::1", 53, 53)])
        assert rows.published("tcp", 80) == [("name-of-c", PublishedPort("tcp", "", 80, 8080))]
        assert rows.sandboxes(active=True)[0].ports[1] == PublishedPort("udp", "::1", 53, 53)
        rows.deactivate("ns", "c")
        assert rows.sandboxes(active=True) == []
        assert rows.sandbox("ns", "c") == sandbox

    def test_know_their_namespace(self, rows: NetworkRows) -> None:
        join(rows, "c", "net")
        assert [s.container for s in rows.sandboxes("ns")] == ["c"]
        assert rows.sandboxes("other") == []


class TestAddresses:
    def test_are_given_back_and_rest(self, rows: NetworkRows) -> None:
        assert join(rows, "a", "net").endpoints[0].ip4 == "10.0.0.2"
        rows.close("ns", "a")
        assert join(rows, "b", "net").endpoints[0].ip4 == "10.0.0.3"

    def test_run_out_with_a_sentence(self, rows: NetworkRows) -> None:
        for number in range(5):
            join(rows, f"c{number}", "net")
        with pytest.raises(ResourceExhausted, match=r'10\.0\.0\.0/29" \(remove containers'):
            join(rows, "c5", "net")
        rows.close("ns", "c2")
        assert join(rows, "c6", "net").endpoints[0].ip4 == "10.0.0.4"

    def test_asked_for_are_kept_from_others(self, rows: NetworkRows) -> None:
        assert (
            join(rows, "a", "six", ip="10.0.1.9", ip6="fd00::9", mac="02:42:00:00:00:09").endpoints[0].ip6 == "fd00::9"
        )
        with pytest.raises(FailedPrecondition, match="container name-of-a has it on network six"):
            join(rows, "b", "six", ip="10.0.1.9")
        with pytest.raises(InvalidArgument, match="no IPv6 subnet"):
            join(rows, "b", "net", ip6="fd00::5")

    def test_are_given_once_to_many_at_a_time(self, rows: NetworkRows) -> None:
        def work(number: int) -> None:
            found.append(join(rows, f"c{number}", "six").endpoints[0].ip4)

        found: list[str] = []
        threads = [threading.Thread(target=work, args=(number,)) for number in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(found)) == 40


class TestEndpoints:
    def test_come_and_go_with_their_addresses(self, rows: NetworkRows, database: Database) -> None:
        sandbox = join(rows, "c", "net")
        made = rows.connect(sandbox, EndpointRequest("six", ("x",)), "pcv2")
        assert (made.interface, made.link, made.network_name) == ("eth1", "pcv2", "six")
        with pytest.raises(AlreadyExists, match="container name-of-c on network"):
            rows.connect(sandbox, EndpointRequest("six"), "pcv3")
        rows.disconnect(sandbox.endpoints[0])
        assert [e.network_name for e in rows.endpoints(rows.get("ns", "six"))] == ["six"]
        again = rows.connect(sandbox, EndpointRequest("net"), "")
        assert again.interface == "eth0"
        rows.disconnect(made)
        assert left(database) == [1, 1, 1, 0]
