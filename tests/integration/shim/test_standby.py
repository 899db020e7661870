"""The shim that is forked before anybody asks, and the container that is forgotten before anybody asks."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pycontainerd.wire.messages import task_v3
from shim.sockets import CONTROL
from tests.integration.shim.harness import eventually

if TYPE_CHECKING:
    from tests.integration.shim.harness import Box, Host

pytestmark = pytest.mark.root


def standbys(host: Host) -> list[int]:
    """Processes that hold the same end of the template's socket as it does itself, and are no children of it."""
    found: list[int] = []
    try:
        link = Path(f"/proc/{host.template.pid}/fd/{CONTROL}").readlink()
    except FileNotFoundError:
        return found  # it is still being started
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == host.template.pid:
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent != host.template.pid and (entry / "fd" / str(CONTROL)).readlink() == link:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def known(host: Host, box: Box) -> bool:
    """Whether the runtime knows the container."""
    root = ["--root", f"{host.base}/state/test"]
    return subprocess.run(["crun", *root, "state", box.id], capture_output=True, check=False).returncode == 0


def test_there_is_always_one(host: Host) -> None:
    eventually(lambda: len(standbys(host)) == 1)
    (first,) = standbys(host)
    box = host.shim("one")
    assert box.pid == first, "the one that waited became the shim"
    eventually(lambda: len(standbys(host)) == 1)


def test_a_burst_is_served(host: Host) -> None:
    count = 12
    for number in range(count):
        bundle = host.bundle(f"b{number}", ["/bin/true"])
        message = json.dumps({"seq": number, **host.request(f"b{number}", bundle)}).encode()
        socket.send_fds(host.control, [message], [])
    host.control.settimeout(20)
    replies = [json.loads(host.control.recv(65536)) for _ in range(count)]
    pids = {reply["pid"] for reply in replies}
    host.pids += pids
    assert sorted(reply["seq"] for reply in replies) == list(range(count))
    assert len(pids) == count


def test_it_ends_with_its_template(host: Host) -> None:
    eventually(lambda: len(standbys(host)) == 1)
    (waiting,) = standbys(host)
    host.template.kill()
    host.template.wait()
    host.control.settimeout(10)
    assert host.control.recv(100) == b"", "nobody holds the other end any more"
    eventually(lambda: not Path(f"/proc/{waiting}").exists())


def test_the_template_ends_when_it_is_killed(host: Host) -> None:
    eventually(lambda: len(standbys(host)) == 1)
    os.kill(standbys(host)[0], signal.SIGKILL)
    assert host.template.wait(10) == 0
    host.control.settimeout(10)
    assert host.control.recv(100) == b""


def test_a_bad_request_costs_the_next_one_nothing(host: Host) -> None:
    bundle = host.bundle("one", ["/bin/true"])
    assert "namespace" in host.ask({**host.request("one", bundle), "namespace": ""})["error"]
    reply = host.ask(host.request("one", bundle))
    host.pids.append(reply["pid"])
    assert reply["pid"] > 0


def test_the_runtime_forgets_a_container_that_has_ended(host: Host) -> None:
    box = host.shim("one", ["/bin/sh", "-c", "exit 3"])
    box.create()
    assert known(host, box)
    box.start()
    assert box.wait().exit_status == 3
    eventually(lambda: not known(host, box))
    assert box.state().status == 3, "it is stopped, and there"
    assert box.call("Pids", task_v3.PidsRequest(id="one"), task_v3.PidsResponse).processes == []
    assert box.delete().exit_status == 3
    assert "OCI runtime" not in box.log()


def test_a_container_with_a_hook_for_its_end_is_left_until_it_is_deleted(host: Host) -> None:
    told = host.base / "told"
    box = host.shim("one", ["/bin/true"])
    config = box.bundle / "config.json"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"cat >/dev/null; echo gone > {told}"]}
    config.write_text(json.dumps({**json.loads(config.read_text()), "hooks": {"poststop": [hook]}}))
    box.create()
    box.start()
    box.wait()
    box.call("State", task_v3.StateRequest(id="one"), task_v3.StateResponse)
    assert known(host, box)
    assert not told.exists()
    box.delete()
    assert told.read_text() == "gone\n"
