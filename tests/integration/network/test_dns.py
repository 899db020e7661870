"""The DNS responder on real sockets in namespaces of its own: names, passing on, and outliving everybody."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import time
from typing import TYPE_CHECKING

import pytest

from pycontainerd.core import dnsmessage as dns
from pycontainerd.core.network import Network, Sandbox, SandboxRequest
from pycontainerd.network.dns.keeping import DnsKeeper
from pycontainerd.network.dns.opening import USUAL
from tests.integration.network.dnsclient import FakeServer, Namespaces, Reply, network, query, sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root

NET = network("my-net")
OTHER = network("other", "10.92.0.0/24")
BARE = network("bare", "10.93.0.0/24", internal=True)
DEFAULT = network("bridge", "10.94.0.0/24")
ALL = {item.id: item for item in (NET, OTHER, BARE, DEFAULT)}


class Bench:
    """Namespaces, a keeper, and a resolv.conf of the host's."""

    def __init__(self, spaces: Namespaces) -> None:
        self.spaces = spaces
        self.resolv = spaces.base / "resolv.conf"
        self.resolv.write_text("nameserver 127.77.0.1\n")
        self.keeper = self.new_keeper()

    def new_keeper(self) -> DnsKeeper:
        return DnsKeeper(self.spaces.agent, str(self.spaces.base / "dns" / "sock"), networks_of, str(self.resolv))

    def up(
        self, name: str, *on: tuple[Network, str, tuple[str, ...]], request: SandboxRequest | None = None
    ) -> Sandbox:
        box = sandbox(name, self.spaces.make(name), list(on), request)
        self.keeper.sandbox_up(box)
        return box

    def restart_responder(self) -> int:
        """Kill it, and wait for the next one to know as much; its pid."""
        pid, members = self.keeper.status()["pid"], self.members()
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while (found := self.keeper.status()).get("pid", pid) == pid or set(found["members"]) != members:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return int(found["pid"])

    def members(self) -> set[str]:
        return set(self.keeper.status().get("members", {}))


def networks_of(box: Sandbox) -> dict[str, Network]:
    return {item.network: ALL[item.network] for item in box.endpoints}


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Namespaces() as spaces:
        made = Bench(spaces)
        pid = 0
        try:
            yield made
            status = made.keeper.status()
            assert status.get("errors", 0) == 0, status
        finally:
            pid = made.keeper.status().get("pid", 0)
            made.keeper.close()
            if pid:
                os.kill(pid, signal.SIGKILL)


def test_names_aliases_and_scopes(bench: Bench) -> None:
    web = bench.up("web0123456789abcdef", (NET, "10.91.0.2", ("www", "Api.Local")))
    db = bench.up("db", (OTHER, "10.92.0.2", ()), (NET, "10.91.0.3", ()))
    ask = bench.spaces.ask
    for name in ("web0123456789abcdef", "web012345678", "www", "WWW.", "api.local", "www.my-net", "api.local.My-Net"):
        assert ask(db.netns, name).addresses == ["10.91.0.2"], name
    assert ask(web.netns, "db").addresses == ["10.91.0.3"]
    assert ask(db.netns, "db").addresses == ["10.92.0.2"]
    assert ask(db.netns, "db.my-net").addresses == ["10.91.0.3"]
    nothing = ask(db.netns, "www", dns.AAAA)
    assert (nothing.code, nothing.records) == (dns.NOERROR, [])
    assert ask(db.netns, "www", 15).records == []
    assert ask(db.netns, "www", tcp=True).addresses == ["10.91.0.2"]
    assert ask(db.netns, "www", edns=1232).additional == 1


def test_reverse(bench: Bench) -> None:
    web = bench.up("web", (NET, "10.91.0.2", ("www",)))
    assert bench.spaces.ask(web.netns, "2.0.91.10.in-addr.arpa", dns.PTR).names == ["web.my-net"]
    assert bench.spaces.ask(web.netns, "9.0.91.10.in-addr.arpa", dns.PTR).code == dns.NXDOMAIN


def test_equal_aliases_take_turns_and_go(bench: Bench) -> None:
    boxes = [bench.up(f"w{n}", (NET, f"10.91.0.{n + 10}", ("app",))) for n in range(3)]
    first = [bench.spaces.ask(boxes[0].netns, "app").addresses[0] for _ in range(6)]
    assert sorted(first) == sorted(["10.91.0.10", "10.91.0.11", "10.91.0.12"] * 2)
    bench.keeper.sandbox_down(boxes[1])
    left = bench.spaces.ask(boxes[0].netns, "app").addresses
    assert sorted(left) == ["10.91.0.10", "10.91.0.12"]
    assert bench.members() == {"test/w0", "test/w2"}


def test_a_container_may_run_a_name_server_itself(bench: Bench) -> None:
    box = bench.up("bind", (NET, "10.91.0.2", ()))
    with (
        bench.spaces.socket(box.netns, "udp", "0.0.0.0", 53),
        bench.spaces.socket(box.netns, "tcp", "0.0.0.0", 53) as tcp,
    ):
        tcp.listen()
        assert bench.spaces.ask(box.netns, "bind").addresses == ["10.91.0.2"]
        assert bench.spaces.ask(box.netns, "bind", tcp=True).addresses == ["10.91.0.2"]


def test_a_container_may_have_the_usual_port(bench: Bench) -> None:
    path = bench.spaces.make("greedy")
    box = sandbox("greedy", path, [(NET, "10.91.0.2", ())])
    with bench.spaces.socket(path, "udp", "0.0.0.0", USUAL):
        bench.keeper.sandbox_up(box)
        assert bench.spaces.ask(path, "greedy").addresses == ["10.91.0.2"]
        bench.restart_responder()
        assert bench.spaces.ask(path, "greedy", tcp=True).addresses == ["10.91.0.2"]
    bench.restart_responder()
    assert bench.spaces.ask(path, "greedy").addresses == ["10.91.0.2"]


def test_the_default_network_has_no_names(bench: Bench) -> None:
    box = bench.up("lonely", (DEFAULT, "10.94.0.2", ()))
    assert not bench.members()
    both = sandbox("lonely", box.netns, [(DEFAULT, "10.94.0.2", ()), (NET, "10.91.0.5", ("l",))])
    bench.keeper.sandbox_up(both)
    assert bench.spaces.ask(box.netns, "l").addresses == ["10.91.0.5"]
    assert bench.spaces.ask(box.netns, "lonely.bridge").code == dns.SERVFAIL
    bench.keeper.sandbox_up(box)
    assert bench.members() == {"test/lonely"}


def test_passing_on_to_the_hosts_servers_as_they_are_now(bench: Bench) -> None:
    box = bench.up("web", (NET, "10.91.0.2", ()))
    with FakeServer("127.77.0.1", "192.0.2.1") as one, FakeServer("127.77.0.2", "192.0.2.2"):
        assert bench.spaces.ask(box.netns, "example.org").addresses == ["192.0.2.1"]
        assert bench.spaces.ask(box.netns, "example.org", tcp=True).addresses == ["192.0.2.1"]
        assert one.asked == [("example.org", "udp"), ("example.org", "tcp")]
        assert bench.spaces.ask(box.netns, "big.org").cut
        assert len(bench.spaces.ask(box.netns, "big.org", edns=4096).addresses) == 40
        assert len(bench.spaces.ask(box.netns, "big.org", tcp=True).addresses) == 40
        bench.resolv.write_text("nameserver 127.77.0.2\n")
        assert bench.spaces.ask(box.netns, "example.org").addresses == ["192.0.2.2"]


def test_dead_mute_and_failing_servers_are_passed_over(bench: Bench) -> None:
    bench.resolv.write_text(
        "nameserver 127.77.0.9\nnameserver 127.77.0.1\nnameserver 127.77.0.2\nnameserver 127.77.0.3\n"
    )
    box = bench.up("web", (NET, "10.91.0.2", ()))
    with FakeServer("127.77.0.1", code=dns.SERVFAIL), FakeServer("127.77.0.2", mute=True), FakeServer("127.77.0.3"):
        start = time.monotonic()
        assert bench.spaces.ask(box.netns, "example.org").addresses == ["192.0.2.1"]
        assert 1.0 < time.monotonic() - start < 4
    with FakeServer("127.77.0.1", code=dns.NXDOMAIN):
        assert bench.spaces.ask(box.netns, "nowhere.org").code == dns.NXDOMAIN
    assert bench.spaces.ask(box.netns, "example.org").code == dns.SERVFAIL
    bench.resolv.unlink()
    assert bench.spaces.ask(box.netns, "example.org").code == dns.SERVFAIL


def test_without_a_way_out_there_is_no_world(bench: Bench) -> None:
    box = bench.up("inner", (BARE, "10.93.0.2", ()))
    with FakeServer("127.77.0.1") as server:
        assert bench.spaces.ask(box.netns, "secret.example.org").code == dns.NXDOMAIN
        assert bench.spaces.ask(box.netns, "inner").addresses == ["10.93.0.2"]
        assert not server.asked


def test_a_containers_own_servers_are_asked_from_inside(bench: Bench) -> None:
    box = bench.up("own", (NET, "10.91.0.2", ()), request=SandboxRequest(dns=("127.0.0.1",)))
    with FakeServer("127.77.0.1") as server, bench.spaces.socket(box.netns, "udp", "127.0.0.1", 53) as inside:
        with bench.spaces.socket(box.netns, "udp") as client:
            client.connect(("127.0.0.11", 53))
            client.send(query("example.org"))
            data, sender = inside.recvfrom(4096)
            records = dns.addresses_rdata([socket.inet_aton("192.0.2.9")])
            inside.sendto(dns.answer(dns.Query(data), data, 0, records, ttl=1, limit=512), sender)
            assert Reply(client.recv(4096)).addresses == ["192.0.2.9"]
        assert not server.asked


def test_rubbish_is_ignored(bench: Bench) -> None:
    box = bench.up("web", (NET, "10.91.0.2", ()))
    with bench.spaces.socket(box.netns, "udp") as client:
        client.connect(("127.0.0.11", 53))
        for data in (
            b"",
            b"x",
            os.urandom(100),
            query("web")[:-3],
            b"\0" * 12,
            query("web")[:12] + b"\xc0\x0c\0\1\0\1",
        ):
            client.send(data)
        client.send(query("web", id=7))
        assert Reply(client.recv(4096)).id == 7
    with bench.spaces.socket(box.netns, "tcp") as client:
        client.connect(("127.0.0.11", 53))
        client.sendall(b"\0\5rubbish")
        assert client.recv(10) == b""


def test_thousands_of_broken_packets_do_no_harm(bench: Bench) -> None:
    bench.resolv.write_text("")
    box = bench.up("web", (NET, "10.91.0.2", ()))
    chance = random.Random(4242)
    with bench.spaces.socket(box.netns, "udp") as client:
        client.connect(("127.0.0.11", 53))
        client.setblocking(False)
        for number in range(3000):
            data = bytearray(query("web.my-net", chance.choice((1, 12, 28, 255)), edns=chance.choice((0, 1232))))
            for _ in range(chance.randrange(1, 6)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            with contextlib.suppress(BlockingIOError):
                client.send(data[: chance.randrange(1, len(data) + 1)] if number % 2 else data)
                client.recv(4096)
    assert bench.spaces.ask(box.netns, "web").addresses == ["10.91.0.2"]


def test_questions_in_a_row_on_one_connection(bench: Bench) -> None:
    box = bench.up("web", (NET, "10.91.0.2", ()))
    with bench.spaces.socket(box.netns, "tcp") as client:
        client.connect(("127.0.0.11", 53))
        data = b"".join(len(item).to_bytes(2) + item for item in (query("web", id=n) for n in range(100)))
        for start in range(0, len(data), 7):
            client.sendall(data[start : start + 7])
        client.shutdown(socket.SHUT_WR)
        got = b""
        while chunk := client.recv(65536):
            got += chunk
    length = int.from_bytes(got[:2]) + 2
    assert [Reply(got[n * length + 2 : (n + 1) * length]).id for n in range(100)] == list(range(100))
    assert len(got) == 100 * length


def test_many_questions_passed_on_over_one_connection(bench: Bench) -> None:
    box = bench.up("web", (NET, "10.91.0.2", ()))
    with FakeServer("127.77.0.1"), bench.spaces.socket(box.netns, "tcp") as client:
        client.connect(("127.0.0.11", 53))
        client.sendall(b"".join(len(item).to_bytes(2) + item for item in (query(f"h{n}.org", id=n) for n in range(60))))
        client.shutdown(socket.SHUT_WR)
        got = b""
        while chunk := client.recv(65536):
            got += chunk
    found = set()
    while got:
        length = int.from_bytes(got[:2])
        found.add(Reply(got[2 : length + 2]).id)
        got = got[length + 2 :]
    assert found == set(range(60))


def test_the_daemon_dies_and_another_one_finds_it(bench: Bench) -> None:
    web, gone = bench.up("web", (NET, "10.91.0.2", ())), bench.up("gone", (NET, "10.91.0.3", ()))
    pid = bench.keeper.status()["pid"]
    bench.keeper.close()
    assert bench.spaces.ask(web.netns, "gone").addresses == ["10.91.0.3"]
    bench.keeper = bench.new_keeper()
    bench.keeper.sandbox_up(web)
    bench.keeper.recovered([web])
    assert bench.keeper.status()["pid"] == pid
    assert bench.members() == {"test/web"}
    assert bench.spaces.ask(web.netns, "web").addresses == ["10.91.0.2"]
    assert bench.spaces.ask(web.netns, "gone").code == dns.SERVFAIL
    del gone


def test_the_responder_dies_and_is_replaced(bench: Bench) -> None:
    web = bench.up("web", (NET, "10.91.0.2", ()))
    pid = bench.keeper.status()["pid"]
    assert bench.restart_responder() != pid
    assert bench.members() == {"test/web"}
    assert bench.spaces.ask(web.netns, "web").addresses == ["10.91.0.2"]


def test_a_new_life_has_new_sockets_and_nothing_keeps_the_old_one(bench: Bench) -> None:
    web = bench.up("web", (NET, "10.91.0.2", ()))
    pid = bench.keeper.status()["pid"]
    time.sleep(0.1)  # the answer's memory file is closed after it was sent
    before = len(os.listdir(f"/proc/{pid}/fd"))
    for number in range(3, 6):
        bench.keeper.sandbox_down(web)
        assert len(os.listdir(f"/proc/{pid}/fd")) == before - 2
        bench.spaces.drop(web.netns)
        web = bench.up("web", (NET, f"10.91.0.{number}", ()))
        assert bench.spaces.ask(web.netns, "web").addresses == [f"10.91.0.{number}"]
    assert len(os.listdir(f"/proc/{pid}/fd")) == before


def test_nothing_left_to_hold_ends_the_process(bench: Bench) -> None:
    web = bench.up("web", (NET, "10.91.0.2", ()))
    pid = bench.keeper.status()["pid"]
    bench.keeper.sandbox_down(web)
    bench.keeper.close()
    bench.keeper = bench.new_keeper()
    deadline = time.monotonic() + 5
    while True:
        try:
            state = open(f"/proc/{pid}/stat").read().split()[2]  # noqa: SIM115
        except FileNotFoundError:
            break
        if state == "Z":
            break
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_nobody_can_reach_it_any_more(bench: Bench) -> None:
    bench.up("web", (NET, "10.91.0.2", ()))
    pid = bench.keeper.status()["pid"]
    bench.keeper.close()
    os.unlink(bench.keeper.path)
    bench.keeper = bench.new_keeper()
    deadline = time.monotonic() + 25
    while os.path.exists(f"/proc/{pid}") and open(f"/proc/{pid}/stat").read().split()[2] != "Z":  # noqa: SIM115
        assert time.monotonic() < deadline
        time.sleep(0.2)
