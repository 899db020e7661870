"""Taking ports, and the keeper that holds them. Loopback only."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pycontainerd.core.errors import FailedPrecondition
from pycontainerd.core.network import PortRequest, PublishedPort
from pycontainerd.core.ports import Target
from pycontainerd.network.holding import PortHolder, claim

TARGET = Target("127.0.0.1")


def nobody(proto: str, port: int) -> list[tuple[str, PublishedPort]]:
    return []


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def taken(port: int, host: str = "127.0.0.1", kind: int = socket.SOCK_STREAM) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
            if kind == socket.SOCK_STREAM:
                sock.listen()
        except OSError as error:
            return error.errno == errno.EADDRINUSE
        return False


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[PortHolder]:
    made = PortHolder(str(tmp_path / "k" / "sock"))
    yield made
    made.close()
    last = PortHolder(made.path)
    for key in last.held():
        last.drop(key)
    last.close()


@pytest.fixture
def server() -> Iterator[int]:
    """Answers each connection with what it got, in capitals."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    threading.Thread(target=answer, args=(client,), daemon=True).start()

        def answer(client: socket.socket) -> None:
            with client, contextlib.suppress(OSError):
                while data := client.recv(1 << 16):
                    client.sendall(data.upper())

        threading.Thread(target=serve, daemon=True).start()
        yield int(listening.getsockname()[1])


class TestClaim:
    def test_takes_the_port_from_everybody_else(self) -> None:
        port = free_port()
        with claim([PortRequest(80, port, host_ip="127.0.0.1")], TARGET, nobody) as claimed:
            assert claimed.ports == [PublishedPort("tcp", "127.0.0.1", port, 80)]
            assert taken(port)
        assert not taken(port)

    def test_takes_both_families_for_every_address(self) -> None:
        with claim([PortRequest(80)], TARGET, nobody) as claimed:
            port = claimed.ports[0].host_port
            assert taken(port)
            assert taken(port, "::1")

    def test_takes_datagram_ports(self) -> None:
        with claim([PortRequest(53, 0, host_ip="127.0.0.1", proto="udp")], TARGET, nobody) as claimed:
            assert taken(claimed.ports[0].host_port, kind=socket.SOCK_DGRAM)

    def test_takes_the_first_free_one_of_a_range(self) -> None:
        port = free_port()
        with socket.create_server(("127.0.0.1", port)):
            with claim([PortRequest(80, port, port + 5, "127.0.0.1")], TARGET, nobody) as claimed:
                assert port < claimed.ports[0].host_port <= port + 5
            with pytest.raises(FailedPrecondition, match=f'range "{port}-{port}/tcp"|{port}'):
                claim([PortRequest(80, port, port, "127.0.0.1")], TARGET, nobody)

    def test_names_the_container_that_has_it(self) -> None:
        with claim([PortRequest(80)], TARGET, nobody) as claimed:
            (mine,) = claimed.ports
            with pytest.raises(FailedPrecondition, match=f"0.0.0.0:{mine.host_port}/tcp.*container web publishes it"):
                claim([PortRequest(81, mine.host_port)], TARGET, lambda proto, port: [("web", mine)])

    def test_names_the_program_that_has_it(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            with pytest.raises(FailedPrecondition, match=rf"pid {os.getpid()}\) has it"):
                claim([PortRequest(80, port)], TARGET, nobody)

    def test_is_all_or_nothing(self) -> None:
        port = free_port()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            requests = [PortRequest(80, port), PortRequest(81, listening.getsockname()[1])]
            with pytest.raises(FailedPrecondition):
                claim(requests, TARGET, nobody)
        assert not taken(port)

    def test_says_that_an_address_is_not_the_hosts(self) -> None:
        with pytest.raises(FailedPrecondition, match="this host has no such address"):
            claim([PortRequest(80, free_port(), host_ip="203.0.113.77")], TARGET, nobody)

    def test_is_not_in_the_way_of_its_own_closing_connections(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port)) as client:
                accepted, _ = listening.accept()
                accepted.close()
                assert client.recv(1) == b""
        with claim([PortRequest(80, port, host_ip="127.0.0.1")], TARGET, nobody):
            assert taken(port)


class TestKeeper:
    def test_holds_ports_when_the_daemon_has_let_go(self, holder: PortHolder) -> None:
        with claim([PortRequest(80)], TARGET, nobody) as claimed:
            port = claimed.ports[0].host_port
            holder.hold("a", claimed)
        assert taken(port)
        assert holder.held() == {"a": [f"0.0.0.0:{port}/tcp", f":::{port}/tcp"]}
        holder.close()
        other = PortHolder(holder.path)
        assert other.held().keys() == {"a"}
        other.drop("a")
        assert not taken(port)
        assert not taken(port, "::1")
        other.close()
        until(lambda: not _accepts(holder.path))

    def test_needs_no_process_to_hold_nothing(self, holder: PortHolder) -> None:
        holder.drop("nothing")
        assert holder.held() == {}
        assert not os.path.exists(holder.path)

    def test_holds_more_than_fits_in_a_message(self, holder: PortHolder) -> None:
        with claim([PortRequest(80, host_ip="127.0.0.1")] * 300, TARGET, nobody) as claimed:
            holder.hold("many", claimed)
            ports = [port.host_port for port in claimed.ports]
        assert len(holder.held()["many"]) == 300
        assert all(map(taken, ports[::37]))

    def test_passes_connections_on_where_the_kernel_cannot(self, holder: PortHolder, server: int) -> None:
        with claim([PortRequest(server)], TARGET, nobody) as claimed:
            holder.hold("a", claimed)
            port = claimed.ports[0].host_port
        data = os.urandom(1 << 15) * 64
        with socket.create_connection(("::1", port), timeout=10) as client:

            def send() -> None:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)

            threading.Thread(target=send).start()
            received = bytearray()
            while piece := client.recv(1 << 16):
                received += piece
        assert bytes(received) == data.upper()

    def test_says_so_when_nobody_is_there(self, holder: PortHolder) -> None:
        with claim([PortRequest(free_port())], TARGET, nobody) as claimed:
            holder.hold("a", claimed)
        with (
            socket.create_connection(("::1", claimed.ports[0].host_port), timeout=10) as client,
            pytest.raises(ConnectionError),
        ):
            client.recv(1)

    def test_leads_elsewhere_when_told(self, holder: PortHolder, server: int) -> None:
        from pycontainerd.core.ports import sockets_for

        with claim([PortRequest(server)], Target("127.0.0.9"), nobody) as claimed:
            holder.hold("a", claimed)
        (port,) = claimed.ports
        holder.retarget("a", sockets_for(port, TARGET))
        with socket.create_connection(("::1", port.host_port), timeout=10) as client:
            client.sendall(b"hello")
            assert client.recv(10) == b"HELLO"

    def test_ends_connections_with_their_sandbox(self, holder: PortHolder, server: int) -> None:
        with claim([PortRequest(server)], TARGET, nobody) as claimed:
            holder.hold("a", claimed)
        with socket.create_connection(("::1", claimed.ports[0].host_port), timeout=10) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"X"
            holder.drop("a")
            with pytest.raises(ConnectionError):
                client.recv(1)

    def test_killed_is_noticed(self, holder: PortHolder) -> None:
        lost = threading.Event()
        holder.on_lost = lost.set
        with claim([PortRequest(80)], TARGET, nobody) as claimed:
            holder.hold("a", claimed)
        os.kill(keeper_pid(holder.path), signal.SIGKILL)
        assert lost.wait(5)
        assert holder.held() == {}
        with claim([PortRequest(80)], TARGET, nobody) as claimed:
            holder.hold("a", claimed)
        assert holder.held().keys() == {"a"}


def _accepts(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        return client.connect_ex(path) == 0


def keeper_pid(path: str) -> int:
    """The process that listens on the keeper's socket."""
    lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    wanted = {f"socket:[{line.split()[6]}]" for line in lines if line.endswith(path)}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if b"network.keeper" not in Path(f"/proc/{name}/cmdline").read_bytes():
                continue
            if wanted & {os.readlink(entry) for entry in Path(f"/proc/{name}/fd").iterdir()}:
                return int(name)
    raise AssertionError("no keeper")
