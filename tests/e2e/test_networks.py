"""Networks as a person uses them, with pyctr and with Debian's docker: both have to do what is tested here."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.rig import Rig, docker_rig, our_rig
from tests.integration.network.world import OTHER, UPLINK

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root


DOCKER_ALLOWS = [
    ("network", "create", "bad/name"),
    ("run", "--rm", "--ip", "172.30.0.9", "busybox", "true"),
]


@pytest.fixture(scope="module", params=[our_rig, docker_rig], ids=["pyctr", "docker"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with request.param(tmp_path_factory.mktemp("host")) as rig:
        rig.ok("run", "--rm", "busybox", "true")  # what comes with the first container stays
        yield rig


@pytest.fixture
def rig(made: Rig) -> Iterator[Rig]:
    """A host; nothing of a test stays on it."""
    before = made.trace()
    yield made
    made.tidy()
    if made.ours:
        assert made.returned_to(before)


def test_a_published_web_server(rig: Rig) -> None:
    rig.web("web", "-p", "8080:80")
    assert rig.ok("port", "web").splitlines() == ["80/tcp -> 0.0.0.0:8080", "80/tcp -> [::]:8080"] or not rig.ours
    assert rig.ok("port", "web", "80").splitlines()[0] == "0.0.0.0:8080"
    assert rig.ok("ps", "--format", "{{.Ports}}") == "0.0.0.0:8080->80/tcp, :::8080->80/tcp"
    assert rig.ok("ps", "--filter", "publish=8080", "--format", "{{.Names}}") == "web"
    assert rig.ok("ps", "--filter", "publish=80", "-q") == ""
    shown = json.loads(rig.ok("inspect", "-f", "{{json .NetworkSettings.Ports}}", "web"))
    assert {"HostIp": "0.0.0.0", "HostPort": "8080"} in shown["80/tcp"]
    for host in ("127.0.0.1", UPLINK, "[::1]"):
        assert rig.fetch(f"http://{host}:8080/") == "web"
    assert rig.fetch(f"http://{UPLINK}:8080/", other=True) == "web"
    assert rig.senders("web")[-1] == OTHER
    rig.up("peer")
    assert rig.ok("exec", "peer", "wget", "-qO-", f"http://{UPLINK}:8080/") == "web"
    assert rig.ok("exec", "web", "wget", "-qO-", f"http://{UPLINK}:8080/") == "web"
    rig.ok("stop", "-t", "0", "web")
    assert rig.fetch("http://127.0.0.1:8080/") == "ConnectionRefusedError"
    rig.ok("start", "web")
    rig.until("web", "exec", "peer", "wget", "-qO-", f"http://{UPLINK}:8080/")


def test_names_on_a_network_of_ones_own(rig: Rig) -> None:
    rig.ok("network", "create", "-d", "bridge", "my-net")
    rig.up("one", "--network", "my-net", "--network-alias", "db")
    rig.up("two", "--network", "my-net")
    for name in ("one", "db", "two", "one.my-net"):
        assert rig.pings("two", name), name
    assert rig.pings("one", "two")
    address = rig.address("one", "my-net")
    assert address in rig.ok("exec", "two", "nslookup", "db")
    assert "one.my-net" in rig.ok("exec", "two", "nslookup", address)
    rig.ok("stop", "-t", "0", "one")
    assert not rig.pings("two", "one")
    rig.ok("start", "one")
    assert rig.pings("two", "one")
    rig.ok("rename", "one", "uno")
    assert rig.pings("two", "uno")
    said = rig.fails(1, "network", "rm", "my-net")
    assert ("uno" in said and "two" in said) or not rig.ours


def test_the_default_network_has_no_names(rig: Rig) -> None:
    rig.up("one")
    rig.up("two")
    assert not rig.pings("two", "one")
    assert rig.pings("two", rig.address("one", "bridge"))


def test_links_are_notes_in_hosts(rig: Rig) -> None:
    rig.web("db")
    done = rig.run("run", "--rm", "--link", "db:sql", "busybox", "wget", "-qO-", "http://sql/")
    assert done.stdout.strip() == b"db"
    assert not rig.ours or done.stderr.count(b"legacy") == 1
    rig.ok("network", "create", "back")
    rig.web("inner", "--network", "back")
    assert rig.ok("run", "--rm", "--network", "back", "--link", "inner:x", "busybox", "wget", "-qO-", "http://x/")
    if rig.ours:
        assert "it is on back" in rig.fails(125, "run", "--rm", "--link", "inner", "busybox", "true")
    assert "nope" in rig.fails(125, "run", "--rm", "--link", "nope", "busybox", "true")
    said = rig.fails(125, "run", "--rm", "--network", "host", "--link", "db", "busybox", "true")
    assert "links are only supported for user-defined networks" in said


def test_modes(rig: Rig) -> None:
    rig.web("web", "-p", "8080:80")
    shared = ("run", "--rm", "--network", "container:web", "busybox")
    assert rig.ok(*shared, "wget", "-qO-", "http://127.0.0.1/") == "web"
    assert rig.ok(*shared, "hostname") == "web"
    assert rig.ok("run", "--rm", "--network", "none", "busybox", "ls", "/sys/class/net") == "lo"
    links = rig.ok("run", "--rm", "--network", "host", "busybox", "ls", "/sys/class/net").split()
    assert set(links) >= {"lo", "up0"}
    assert rig.ok("run", "--rm", "--network", "host", "busybox", "wget", "-qO-", "http://127.0.0.1:8080/") == "web"
    said = rig.fails(125, "run", "--rm", "--network", "container:web", "-p", "80:80", "busybox", "true")
    assert "conflicting options: port publishing and the container type network mode" in said


def test_live_connect_and_disconnect(rig: Rig) -> None:
    rig.ok("network", "create", "back")
    rig.web("web")
    rig.up("peer", "--network", "back")
    rig.ok("network", "connect", "--alias", "www", "back", "web")
    for name in ("web", "www"):
        assert rig.ok("exec", "peer", "wget", "-qO-", f"http://{name}/") == "web"
    assert sorted(json.loads(rig.ok("inspect", "-f", "{{json .NetworkSettings.Networks}}", "web"))) == [
        "back",
        "bridge",
    ]
    members = json.loads(rig.ok("network", "inspect", "-f", "{{json .Containers}}", "back"))
    assert sorted(member["Name"] for member in members.values()) == ["peer", "web"]
    assert "web" in rig.fails(1, "network", "connect", "back", "web")
    rig.ok("network", "disconnect", "back", "web")
    assert not rig.pings("peer", "web")
    rig.fails(1, "network", "disconnect", "back", "web")
    rig.ok("network", "disconnect", "bridge", "web")
    assert rig.ok("exec", "web", "ls", "/sys/class/net") == "lo"
    rig.ok("network", "connect", "back", "web")
    assert rig.ok("exec", "peer", "wget", "-qO-", "http://web/") == "web"


def test_networks_are_apart_and_internal_ones_alone(rig: Rig) -> None:
    rig.ok("network", "create", "left")
    rig.ok("network", "create", "right")
    rig.ok("network", "create", "--internal", "inside")
    rig.web("web", "--network", "left")
    rig.up("right1", "--network", "right")
    rig.up("in1", "--network", "inside")
    rig.up("in2", "--network", "inside")
    address = rig.address("web", "left")
    for name in ("right1", "in1"):
        assert not rig.pings(name, address)
    assert rig.pings("right1", OTHER)
    assert not rig.pings("in1", OTHER)
    assert rig.pings("in1", "in2")


def test_addresses_and_managed_files(rig: Rig) -> None:
    rig.ok("network", "create", "--ipv6", "--subnet", "10.77.0.0/24", "--subnet", "fd00:77::/64", "six")
    words = ["--network", "six", "--ip", "10.77.0.50", "--ip6", "fd00:77::50", "--mac-address", "02:42:ac:11:65:43"]
    words += ["--add-host", "host.docker.internal:host-gateway", "--add-host", "db:10.1.2.3"]
    words += ["--dns", "9.9.9.9", "--dns-search", "ex.am", "--dns-option", "ndots:2", "--domainname", "dd.example"]
    rig.up("fixed", *words)
    shown = rig.ok("exec", "fixed", "ip", "addr", "show", "eth0")
    for text in ("10.77.0.50/24 brd 10.77.0.255", "fd00:77::50/64", "02:42:ac:11:65:43"):
        assert text in shown
    hosts = [line.split() for line in rig.ok("exec", "fixed", "cat", "/etc/hosts").splitlines()]
    assert ["10.1.2.3", "db"] in hosts
    assert ["10.77.0.50", "fixed.dd.example", "fixed"] in hosts
    (gateway,) = [line[0] for line in hosts if "host.docker.internal" in line and ":" not in line[0]]
    assert rig.pings("fixed", gateway)
    assert rig.ok("exec", "fixed", "cat", "/etc/hostname") == "fixed"
    resolv = rig.ok("exec", "fixed", "cat", "/etc/resolv.conf").splitlines()
    assert [line for line in resolv if line.startswith("nameserver")] == ["nameserver 127.0.0.11"]
    assert "search ex.am" in resolv
    rig.up("other6", "--network", "six")
    assert rig.run("exec", "other6", "ping", "-6", "-c", "1", "-W", "2", "fd00:77::50").returncode == 0
    rig.ok("stop", "-t", "0", "fixed")
    rig.ok("start", "fixed")
    assert rig.address("fixed", "six") == "10.77.0.50"


def test_a_host_name_with_dots_has_its_first_part_too(rig: Rig) -> None:
    hosts = rig.ok("run", "--rm", "-h", "web.example.org", "busybox", "cat", "/etc/hosts")
    assert "\tweb.example.org web\n" in f"{hosts}\n"


def test_udp_and_ports_of_the_hosts_choice(rig: Rig) -> None:
    rig.up("echo", "-p", "5300:53/udp")
    with rig.world.listening(f"/proc/{rig.ok('inspect', '-f', '{{.State.Pid}}', 'echo')}/ns/net", 53):
        assert rig.world.ask(rig.world.other, UPLINK, 5300, "udp") == OTHER
    rig.web("web", "-P", "--expose", "80", "-p", "127.0.0.1:9000:80")
    assert rig.fetch("http://127.0.0.1:9000/") == "web"
    assert rig.fetch(f"http://{UPLINK}:9000/", other=True) == "ConnectionRefusedError"
    rig.web("many", "-P", "--expose", "80", "--expose", "81/udp")
    port = int(rig.ok("port", "many", "80").splitlines()[0].rpartition(":")[2])
    assert port > 1024
    assert rig.fetch(f"http://{UPLINK}:{port}/", other=True) == "many"
    rig.ok("run", "--rm", "-p", "9100-9103:1000-1003", "busybox", "true")


def test_ports_of_a_network_that_is_bound_to_an_address(rig: Rig) -> None:
    rig.ok("network", "create", "-o", "com.docker.network.bridge.host_binding_ipv4=127.0.0.1", "near")
    rig.web("web", "--network", "near", "-p", "8080:80", "-p", f"{UPLINK}:8081:80")
    assert rig.ok("port", "web", "80").splitlines()[0] == "127.0.0.1:8080" or not rig.ours
    assert rig.fetch("http://127.0.0.1:8080/") == "web"
    assert rig.fetch(f"http://{UPLINK}:8080/", other=True) == "ConnectionRefusedError"
    assert rig.fetch(f"http://{UPLINK}:8081/", other=True) == "web"


def test_labels_without_a_value(rig: Rig) -> None:
    rig.ok("network", "create", "--label", "plain", "--label", "of=value", "noted")
    shown = json.loads(rig.ok("network", "inspect", "-f", "{{json .Labels}}", "noted"))
    assert shown == {"plain": "", "of": "value"}
    assert rig.ok("network", "ls", "--filter", "label=plain", "--format", "{{.Name}}") == "noted"


def test_a_port_that_is_taken(rig: Rig) -> None:
    rig.up("first", "-p", "8080:80")
    said = rig.fails(125, "run", "--rm", "-p", "8080:80", "busybox", "true")
    assert "8080" in said
    assert "first" in said or not rig.ours
    with rig.world.listening(rig.world.path, 8081):
        said = rig.fails(125, "run", "--rm", "-p", "8081:80", "busybox", "true")
        assert "8081" in said
        assert "python" in said or not rig.ours
    rig.ok("run", "--rm", "-p", "8081:80", "busybox", "true")
    said = rig.fails(125, "run", "--rm", "-p", "8082:80", "-p", "127.0.0.1:8082:81", "busybox", "true")
    assert "8082" in said
    assert ("twice" in said and "pid" not in said) or not rig.ours


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("network", "create", "--subnet", "10.88.1.0/24", "x"), 1, ("10.88.0.0/16", "wide")),
        (("network", "create", "wide"), 1, ("wide", "already exists")),
        (("network", "create", "--subnet", "nonsense", "x"), 1, ("nonsense",)),
        (("network", "create", "bad/name"), 1, ("bad/name",)),
        (("network", "create", "-d", "nodriver", "x"), 1, ("nodriver",)),
        (("network", "create", "-o", "com.docker.network.bridge.name=up0", "x"), 1, ("up0", "exists")),
        (("run", "--rm", "--uts", "host", "-h", "x", "busybox", "true"), 125, ("hostname and the UTS mode",)),
        (("run", "--rm", "--network", "container:", "busybox", "true"), 125, ("invalid container format",)),
        (("network", "rm", "bridge"), 1, ("bridge",)),
        (("network", "rm", "host"), 1, ("host", "pre-defined")),
        (("network", "rm", "nope"), 1, ("nope", "not found")),
        (("network", "inspect", "nope"), 1, ("nope", "not found")),
        (("network", "connect", "wide", "nope"), 1, ("No such container: nope",)),
        (("run", "--rm", "--network", "nope", "busybox", "true"), 125, ("network", "nope", "not found")),
        (("run", "--rm", "--network", "container:nope", "busybox", "true"), 125, ("No such container: nope",)),
        (("run", "--rm", "--network", "wide", "--ip", "10.99.0.1", "busybox", "true"), 125, ("10.99.0.1",)),
        (("run", "--rm", "--network", "wide", "--ip", "300.1.1.1", "busybox", "true"), 125, ("300.1.1.1",)),
        (("run", "--rm", "--ip", "172.30.0.9", "busybox", "true"), 125, ("user",)),
        (("run", "--rm", "--mac-address", "zz", "busybox", "true"), 125, ("zz",)),
        (("run", "--rm", "-p", "99999:80", "busybox", "true"), 125, ("99999",)),
        (("run", "--rm", "-p", "203.0.113.9:80:80", "busybox", "true"), 125, ("203.0.113.9",)),
        (("run", "--rm", "--add-host", "x", "busybox", "true"), 125, ("x",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) and len(value) > 2 else "",
)
def test_bad_input(rig: Rig, words: tuple[str, ...], code: int, says: tuple[str, ...]) -> None:
    rig.ok("network", "create", "--subnet", "10.88.0.0/16", "wide")
    if not rig.ours and words in DOCKER_ALLOWS:
        pytest.skip("docker 20.10 lets it pass")
    said = rig.fails(code, *words)
    if rig.ours:
        assert all(text in said for text in says), said
        assert said.count("\n") <= 3


def test_a_network_without_a_free_address(rig: Rig) -> None:
    rig.ok("network", "create", "--subnet", "10.90.0.0/30", "tiny")
    rig.up("only", "--network", "tiny")
    said = rig.fails(125, "run", "--rm", "--network", "tiny", "busybox", "true")
    assert "10.90.0.0/30" in said or not rig.ours
    rig.ok("rm", "-f", "only")
    rig.ok("run", "--rm", "--network", "tiny", "busybox", "true")


def test_events_of_a_network(rig: Rig) -> None:
    since = repr(time.time())
    network = rig.ok("network", "create", "told")
    container = rig.up("web", "--network", "told")
    rig.ok("network", "disconnect", "told", "web")
    rig.ok("network", "connect", "told", "web")
    rig.ok("rm", "-f", "web")
    rig.ok("network", "rm", "told")
    filters = ["--filter", "type=network", "--filter", "network=told"]
    said = rig.ok("events", "--since", since, "--until", repr(time.time()), "--format", "{{json .}}", *filters)
    events = [json.loads(line) for line in said.splitlines()]
    actions = [event["Action"] for event in events]
    if not rig.ours:  # Docker tells of a disconnection from a running container twice
        actions.remove("disconnect")
    assert actions == ["create", "connect", "disconnect", "connect", "disconnect", "destroy"]
    assert {event["Actor"]["ID"] for event in events} == {network}
    for event in events:
        attributes = {"name": "told", "type": "bridge"}
        if event["Action"] in ("connect", "disconnect"):
            attributes["container"] = container
        assert event["Actor"]["Attributes"] == attributes
