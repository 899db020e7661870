"""Networks over the daemon's death, with many ports, and over and over: what only pyctr promises."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.rig import Rig, our_rig
from tests.integration.network.world import OTHER, UPLINK

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root

# Sends a line every 10 ms until its input ends and wants each back; prints how many there were and the longest wait.
TALKER = """
import select, socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
f = s.makefile("rwb")
count, longest, last = 0, 0.0, time.monotonic()
while not select.select([0], [], [], 0.01)[0]:
    f.write(b"%d\\n" % count); f.flush()
    assert f.readline() == b"%d\\n" % count
    now = time.monotonic(); longest = max(longest, now - last); last = now; count += 1
    if count == 1: print("talking", flush=True)
print(count, longest, flush=True)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with our_rig(tmp_path_factory.mktemp("host")) as rig:
        rig.ok("run", "--rm", "busybox", "true")
        yield rig


@pytest.fixture
def rig(made: Rig) -> Iterator[Rig]:
    """A host; nothing of a test stays on it, nor of a daemon that was killed."""
    before = made.trace()
    yield made
    assert made.daemon is not None
    if made.daemon.process is None:
        made.daemon.start()
    made.tidy()
    assert made.returned_to(before)


def killed(rig: Rig) -> None:
    """The daemon is killed and comes back."""
    assert rig.daemon is not None
    rig.daemon.kill()
    time.sleep(0.3)
    rig.daemon.start()


def shown(rig: Rig, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(rig.ok("inspect", "-f", "{{json .NetworkSettings}}", name))
    return found


def test_traffic_does_not_notice_that_the_daemon_is_killed(rig: Rig) -> None:
    rig.ok("network", "create", "mine")
    rig.up("echo", "--network", "mine", "-p", "7000:7", command="exec nc -ll -p 7 -e cat")
    rig.up("client", "--network", "mine")
    argv = ["nsenter", f"--net={rig.world.other}", sys.executable, "-c", TALKER, UPLINK, "7000"]
    pinger = rig.program.start("exec", "client", "ping", "-i", "0.1", "-w", "60", "echo")
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as talker:
        try:
            assert talker.stdout is not None
            assert talker.stdout.readline() == "talking\n"
            for _ in range(2):
                killed(rig)
            assert rig.pings("client", "echo")
            count, longest = talker.communicate("", timeout=30)[0].split()
        finally:
            talker.kill()
            pinger.kill()
            pinger.communicate()
    assert int(count) > 50
    assert float(longest) < 1.0, "a daemon that is away must not be felt"


def test_what_is_shown_stays_over_kills_and_restarts(rig: Rig) -> None:
    rig.ok("network", "create", "--subnet", "10.71.0.0/24", "mine")
    rig.ok("network", "create", "late")
    rig.web("web", "--network", "mine", "--network-alias", "www", "-p", "8080:80", "-p", "8443:443/udp")
    rig.up("peer", "--network", "mine")
    rig.ok("network", "connect", "late", "web")
    before, ports, listed = shown(rig, "web"), rig.ok("port", "web"), rig.ok("ps", "--format", "{{.Ports}}")
    killed(rig)
    assert shown(rig, "web") == before
    assert rig.ok("port", "web") == ports
    assert rig.ok("ps", "--format", "{{.Ports}}").splitlines()[-1] == listed.splitlines()[-1]
    assert rig.fetch(f"http://{UPLINK}:8080/", other=True) == "web"
    assert rig.senders("web")[-1] == OTHER
    assert rig.fetch("http://[::1]:8080/") == "web"
    assert rig.ok("exec", "peer", "wget", "-qO-", "http://www/") == "web"
    rig.fails(125, "run", "--rm", "-p", "8080:80", "busybox", "true")
    assert rig.daemon is not None
    rig.daemon.restart()
    for _ in range(2):
        rig.ok("restart", "-t", "0", "web")
    after = shown(rig, "web")
    for network in ("mine", "late"):
        for key in ("IPAddress", "MacAddress", "NetworkID"):
            assert after["Networks"][network][key] == before["Networks"][network][key]
    rig.until("web", "exec", "peer", "wget", "-qO-", "http://www/")


def test_five_hundred_ports(rig: Rig) -> None:
    rig.web("web")
    rig.up("many", "-p", "20000-20499:1000-1499", "-p", "127.0.0.1:9000:80", command="exec nc -ll -p 1499 -e hostname")
    ports = rig.ok("ps", "--filter", "name=many", "--format", "{{.Ports}}")
    assert "0.0.0.0:20000-20499->1000-1499/tcp, :::20000-20499->1000-1499/tcp" in ports
    assert len(rig.ok("port", "many").splitlines()) == 1001
    assert rig.world.ask(rig.world.other, UPLINK, 20499) == "many"
    said = rig.fails(125, "run", "--rm", "-p", "20250:1", "busybox", "true")
    assert "many" in said
    rig.ok("rm", "-f", "many")
    assert rig.world.ask(rig.world.other, UPLINK, 20499) == "ConnectionRefusedError"


def test_joining_a_container_that_is_started_anew(rig: Rig) -> None:
    rig.web("web", "-p", "8080:80")
    rig.ok("run", "-d", "--name", "side", "--network", "container:web", "busybox", "sleep", "1000")
    rig.fails(1, "network", "connect", "bridge", "side")
    rig.ok("stop", "-t", "0", "side", "web")
    assert "web" in rig.fails(1, "start", "side")
    rig.ok("start", "web")
    rig.ok("start", "side")
    assert rig.ok("exec", "side", "wget", "-qO-", "http://127.0.0.1/") == "web"
    assert rig.ok("exec", "side", "cat", "/etc/hosts") == rig.ok("exec", "web", "cat", "/etc/hosts")


def test_a_joined_container_may_change_its_name(rig: Rig) -> None:
    rig.web("web")
    rig.ok("run", "-d", "--name", "side", "--network", "container:web", "--restart", "on-failure", "busybox", "top")
    rig.ok("rename", "web", "www")
    rig.up("web", "--network", "none")
    rig.ok("restart", "-t", "0", "side")
    assert rig.ok("exec", "side", "wget", "-qO-", "http://127.0.0.1/") == "web"
    assert rig.ok("inspect", "-f", "{{.HostConfig.NetworkMode}}", "side").endswith(
        rig.ok("inspect", "-f", "{{.Id}}", "www")
    )
    rig.ok("stop", "-t", "0", "www")
    said = rig.fails(1, "restart", "-t", "0", "side")
    assert "www" in said or not rig.ours


def test_warnings_and_refusals_of_modes(rig: Rig) -> None:
    done = rig.run("run", "--rm", "--network", "host", "-p", "80:80", "busybox", "true")
    assert (done.returncode, b"Published ports are discarded" in done.stderr) == (0, True)
    rig.up("alone", "--network", "none")
    assert "network mode none" in rig.fails(1, "network", "connect", "bridge", "alone")
    assert "cannot be connected to the host network" in rig.fails(1, "network", "connect", "host", "alone")


def test_over_and_over(rig: Rig) -> None:
    rig.ok("network", "create", "one")
    rig.up("still")
    before = rig.trace()
    for turn in range(15):
        rig.ok("network", "connect", "one", "still")
        rig.ok("network", "disconnect", "one", "still")
        if turn % 5 == 0:
            rig.ok("run", "--rm", "--network", "one", "-p", "8080:80", "busybox", "true")
    assert rig.returned_to(before)
