"""What stays, what goes, and when: addresses, ports, namespaces, networks."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import grpc
import pytest

from pycontainerd.api.containers.v1 import containers_pb2
from pycontainerd.api.networks.v1 import networks_pb2 as pb
from tests.integration.network.world import OTHER, UPLINK, NetDaemon, World, code_of, details, run

pytestmark = pytest.mark.root


def test_addresses_stay_over_restarts_and_go_with_the_record(world: World, host: NetDaemon) -> None:
    host.run("a")
    host.run("b")
    first = host.sandbox("b").endpoints[0]
    host.remove("a")
    host.stop_task("b")
    assert not host.sandbox("b").active
    world.agree(host)
    host.restart()
    host.start_task("b")
    again = host.sandbox("b").endpoints[0]
    assert (again.ipv4, again.mac, again.id) == (first.ipv4, first.mac, first.id)
    world.agree(host)
    host.remove("b")
    host.run("c")
    assert host.address_of("c") not in {first.ipv4, "172.30.0.2"}, "released addresses rest"
    with pytest.raises(ValueError, match="not enough values"):
        host.sandbox("b")


def test_a_restarted_daemon_disturbs_nobody(world: World, host: NetDaemon) -> None:
    host.run("web", {"ports": [{"host_port": 8080, "container_port": 80}]})
    world.serve(host.netns("web"), 80)
    before = world.links()
    host.kill()
    assert world.ask(world.path, "127.0.0.1", 8080) == "172.30.0.1"
    assert world.ask(world.path, "::1", 8080) == "172.30.0.1"
    host.start()
    assert world.ask(world.path, UPLINK, 8080) == UPLINK
    assert world.ask(world.path, "::1", 8080) == "172.30.0.1"
    assert world.links() == before
    world.agree(host)


def test_a_container_that_ends_while_no_daemon_is_there(world: World, host: NetDaemon) -> None:
    pid = host.run("web", {"ports": [{"host_port": 8080, "container_port": 80}]})
    host.kill()
    os.kill(pid, signal.SIGKILL)
    host.start()
    deadline = time.monotonic() + 5
    while host.sandbox("web").active:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    world.agree(host)
    host.remove("web")


def test_everything_is_made_again_after_a_reboot(world: World, host: NetDaemon) -> None:
    host.networks.Create(pb.CreateNetworkRequest(name="mine"))
    host.run("web", {"mode": "mine", "ports": [{"host_port": 8080, "container_port": 80}]})
    address = host.address_of("web", "mine")
    host.stop_task("web")
    host.stop()
    for name in [name for name, alias in world.links().items() if alias.startswith("pycontainerd:")]:
        run("ip", "-n", world.name, "link", "del", name)
    run("nsenter", f"--net={world.path}", "nft", "flush", "ruleset")
    host.start()
    host.start_task("web")
    world.serve(host.netns("web"), 80)
    assert host.address_of("web", "mine") == address
    assert world.ask(world.path, "127.0.0.1", 8080) == "172.28.0.1"
    world.agree(host)


def test_the_kernels_part_is_repaired_at_a_start(world: World, host: NetDaemon) -> None:
    host.run("web", {"ports": [{"host_port": 8080, "container_port": 80}]})
    world.serve(host.netns("web"), 80)
    host.kill()
    for name in [name for name, alias in world.links().items() if ":endpoint:" in alias]:
        run("ip", "-n", world.name, "link", "del", name)
    run("nsenter", f"--net={world.path}", "nft", "flush", "ruleset")
    run("ip", "-n", world.name, "link", "add", "mine", "type", "bridge")
    host.start()
    assert world.ask(world.path, "127.0.0.1", 8080) == "172.30.0.1"
    assert "mine" in world.links()
    world.agree(host)


def test_helpers_that_are_killed_are_replaced(world: World, host: NetDaemon) -> None:
    host.run("web", {"ports": [{"host_port": 8080, "container_port": 80}]})
    world.serve(host.netns("web"), 80)
    for word in (b"network.agent", b"network.keeper"):
        for pid in host.leftover_processes():
            with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
                if word in file.read():
                    os.kill(pid, signal.SIGKILL)
    for child in run("pgrep", "-P", str(host.pid)).split():
        with open(f"/proc/{child}/cmdline", "rb") as file:
            if b"network.agent" in file.read():
                os.kill(int(child), signal.SIGKILL)
    host.run("other", {"ports": [{"host_port": 8081, "container_port": 80}]})
    deadline = time.monotonic() + 5
    while world.ask(world.path, "::1", 8080) != "172.30.0.1":
        assert time.monotonic() < deadline
    world.agree(host)


def test_live_connect_and_disconnect(world: World, host: NetDaemon) -> None:
    host.networks.Create(pb.CreateNetworkRequest(name="more", subnets=[pb.Subnet(cidr="10.77.0.0/24")]))
    host.run("web", {"ports": [{"host_port": 8080, "container_port": 80}]})
    host.run("peer", {"mode": "more"})
    world.serve(host.netns("web"), 80)
    request = pb.ConnectNetworkRequest(
        network="more", container="web", ipv4="10.77.0.77", aliases=["w"], mac="02:00:00:00:00:77"
    )
    made = host.networks.Connect(request).endpoint
    assert (made.ipv4, made.ipv4_prefix, made.ipv4_gateway, made.interface) == ("10.77.0.77", 24, "10.77.0.1", "eth1")
    assert world.ask(host.netns("peer"), "10.77.0.77", 80) == host.address_of("peer", "more")
    host.networks.Disconnect(pb.DisconnectNetworkRequest(network="bridge", container="web"))
    assert world.ask(world.path, "127.0.0.1", 8080) == "10.77.0.1", "ports follow the way out"
    assert world.ask(world.path, "::1", 8080) == "10.77.0.1"
    world.agree(host)
    host.stop_task("web")
    host.start_task("web")
    assert [item.ipv4 for item in host.sandbox("web").endpoints] == ["10.77.0.77"]
    with pytest.raises(grpc.RpcError) as error:
        host.networks.Disconnect(pb.DisconnectNetworkRequest(network="bridge", container="web"))
    assert (code_of(error), details(error)) == (
        "NOT_FOUND",
        'container web on network "bridge" (it is not connected to it): not found',
    )


def test_connect_before_the_first_start(world: World, host: NetDaemon) -> None:
    host.networks.Create(pb.CreateNetworkRequest(name="more"))
    host.create("c", {})
    host.networks.Connect(pb.ConnectNetworkRequest(network="more", container="c"))
    host.networks.Disconnect(pb.DisconnectNetworkRequest(network="bridge", container="c"))
    host.start_task("c")
    assert [item.network_name for item in host.sandbox("c").endpoints] == ["more"]
    world.agree(host)


def test_a_failed_start_leaves_nothing_but_the_address(world: World, host: NetDaemon) -> None:
    host.run("first", {"ports": [{"host_port": 8080, "container_port": 80}]})
    host.create(
        "second", {"ports": [{"host_port": 8081, "container_port": 80}, {"host_port": 8080, "container_port": 80}]}
    )
    with pytest.raises(grpc.RpcError) as error:
        host.start_task("second")
    assert code_of(error) == "FAILED_PRECONDITION"
    assert "0.0.0.0:8080/tcp" in details(error)
    assert "container first publishes it" in details(error)
    world.agree(host)
    host.create("bad", {"ports": [{"host_port": 8081, "container_port": 80}]}, ["/no/such/program"])
    with pytest.raises(grpc.RpcError):
        host.start_task("bad")
    host.remove("bad")
    world.agree(host)
    host.remove("first")
    host.start_task("second")
    world.agree(host)


def test_a_record_deleted_under_its_task_keeps_the_address_until_the_end(world: World, host: NetDaemon) -> None:
    host.run("c")
    host.containers.Delete(containers_pb2.DeleteContainerRequest(id="c"))
    assert host.sandbox("c").active
    host.stop_task("c")
    assert not host.networks.Sandboxes(pb.ListSandboxesRequest()).sandboxes
    world.agree(host)


def test_networks_come_and_go(world: World, host: NetDaemon) -> None:
    made = host.networks.Create(pb.CreateNetworkRequest(name="n", labels={"a": "b"})).network
    assert made.link in world.links()
    assert host.networks.Get(pb.GetNetworkRequest(network=made.id[:12])).network == made
    assert [n.name for n in host.networks.List(pb.ListNetworksRequest(filters=["labels.a==b"])).networks] == ["n"]
    host.networks.Remove(pb.RemoveNetworkRequest(network="n"))
    assert made.link not in world.links()
    host.networks.Create(pb.CreateNetworkRequest(name="used"))
    host.networks.Create(pb.CreateNetworkRequest(name="kept", labels={"keep": "1"}))
    host.networks.Create(pb.CreateNetworkRequest(name="unused"))
    host.run("c", {"mode": "used"})
    with pytest.raises(grpc.RpcError) as error:
        host.networks.Remove(pb.RemoveNetworkRequest(network="used"))
    assert (code_of(error), details(error)) == (
        "FAILED_PRECONDITION",
        'network "used" (it is used by c; remove or disconnect these first): failed precondition',
    )
    pruned = host.networks.Prune(pb.PruneNetworksRequest(filters=['labels.keep!="1"'])).removed
    assert list(pruned) == ["unused"]
    host.stop_task("c")
    host.networks.Remove(pb.RemoveNetworkRequest(network="used", force=True))
    world.agree(host)


NAMED = "com.docker.network.bridge.name"


def wanted(name: str = "x", cidr: str = "", link: str = "", driver: str = "") -> pb.CreateNetworkRequest:
    subnets = [pb.Subnet(cidr=cidr)] if cidr else []
    return pb.CreateNetworkRequest(name=name, driver=driver, subnets=subnets, options={NAMED: link} if link else {})


@pytest.mark.parametrize(
    ("request_", "code", "sentence"),
    [
        (wanted("a b"), "INVALID_ARGUMENT", "are allowed"),
        (wanted("bridge"), "INVALID_ARGUMENT", "reserved"),
        (wanted(driver="carrier-pigeon"), "INVALID_ARGUMENT", "there are bridge"),
        (wanted(cidr="10.0.0.1/8"), "INVALID_ARGUMENT", "write 10.0.0.0/8"),
        (wanted("taken"), "ALREADY_EXISTS", 'network "taken"'),
        (wanted(cidr="10.77.0.128/25"), "FAILED_PRECONDITION", "overlaps 10.77.0.0/24 of network taken"),
        (wanted(link="up0"), "ALREADY_EXISTS", "link up0 exists"),
        (wanted(link="pcx7"), "FAILED_PRECONDITION", "is network taken's"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_networks_are_refused(
    world: World, host: NetDaemon, request_: pb.CreateNetworkRequest, code: str, sentence: str
) -> None:
    options = {"com.docker.network.bridge.name": "pcx7"}
    host.networks.Create(
        pb.CreateNetworkRequest(name="taken", options=options, subnets=[pb.Subnet(cidr="10.77.0.0/24")])
    )
    with pytest.raises(grpc.RpcError) as error:
        host.networks.Create(request_)
    assert code_of(error) == code
    assert sentence in details(error)
    world.agree(host)


def test_used_up_pools_say_so(world: World, host: NetDaemon) -> None:
    host.stop()
    host.config.write_text('[network]\npools = ["10.88.0.0/23 24"]\nsubnet = ""\n')
    host.start()
    for name in ("a", "b"):
        host.networks.Create(pb.CreateNetworkRequest(name=name))
    with pytest.raises(grpc.RpcError) as error:
        host.networks.Create(pb.CreateNetworkRequest(name="c"))
    assert code_of(error) == "RESOURCE_EXHAUSTED"
    assert "10.88.0.0/23 by /24" in details(error)


def test_records_with_bad_extensions_are_refused(host: NetDaemon) -> None:
    with pytest.raises(grpc.RpcError) as error:
        host.create("c", {"ports": [{"container_port": 70000}]})
    assert (code_of(error), details(error)) == (
        "INVALID_ARGUMENT",
        'container port "70000" (want 1 to 65535): invalid argument',
    )
    host.create("d", {"mode": "nowhere"})
    with pytest.raises(grpc.RpcError) as error:
        host.start_task("d")
    assert (code_of(error), details(error)) == ("NOT_FOUND", 'network "nowhere": not found')


def test_five_hundred_ports_are_one_rule_set(world: World, host: NetDaemon) -> None:
    host.run("one", {"ports": [{"host_port": 9000, "container_port": 80}]})
    rules = world.ruleset().count("dnat ip to")
    ports = [{"host_port": 20000 + number, "container_port": 80} for number in range(500)]
    host.run("many", {"ports": ports})
    assert world.ruleset().count("dnat ip to") == rules
    assert len(world.elements(host, "any4")) == 501
    world.serve(host.netns("many"), 80)
    assert world.ask(world.other, UPLINK, 20499) == "198.51.100.2"
    host.remove("many", "one")
    world.agree(host)


SENDER = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1)
s.bind(("", 4242)); s.connect((sys.argv[1], 8053))
for line in sys.stdin:
    try:
        s.send(b"x"); print(s.recv(99).decode(), flush=True)
    except OSError as error: print(type(error).__name__, flush=True)
"""


def test_datagrams_of_one_sender_follow_the_port(world: World, host: NetDaemon) -> None:
    argv = ["nsenter", f"--net={world.other}", sys.executable, "-c", SENDER, UPLINK]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sender:
        assert sender.stdin is not None
        assert sender.stdout is not None

        def ask() -> str:
            assert sender.stdin is not None
            assert sender.stdout is not None
            sender.stdin.write("\n")
            sender.stdin.flush()
            return sender.stdout.readline().strip()

        assert ask() == "ConnectionRefusedError"
        for name in ("one", "two"):
            host.run(name, {"ports": [{"host_port": 8053, "container_port": 53, "proto": "udp"}]})
            world.serve(host.netns(name), 53)
            assert ask() == OTHER
            host.remove(name)
        sender.stdin.close()


def test_many_cycles_leave_nothing(world: World, host: NetDaemon) -> None:
    host.networks.Create(pb.CreateNetworkRequest(name="n"))
    host.run("c", {"ports": [{"host_port": 8080, "container_port": 80}]})
    links = world.links()

    def cycle(count: int) -> int:
        for _ in range(count):
            host.networks.Connect(pb.ConnectNetworkRequest(network="n", container="c"))
            host.networks.Disconnect(pb.DisconnectNetworkRequest(network="n", container="c"))
        return len(os.listdir(f"/proc/{host.pid}/fd"))

    warm = cycle(20)
    assert cycle(50) <= warm + 2
    assert world.links() == links
    world.agree(host)
