"""The rules of the fork, one test a rule."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pycontainerd.wire.messages import task_v3
from tests.integration.shim.harness import ROOT, eventually, running

if TYPE_CHECKING:
    from tests.integration.shim.harness import Host

pytestmark = pytest.mark.root


def descriptors(pid: int) -> dict[int, str]:
    folder = Path(f"/proc/{pid}/fd")
    return {int(path.name): str(path.readlink()) for path in folder.iterdir()}


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def test_only_its_own_descriptors_are_open(host: Host) -> None:
    read, write = os.pipe()
    os.set_inheritable(write, True)
    box = host.shim("one")
    box.call("Connect", task_v3.ConnectRequest(id="one"), task_v3.ConnectResponse)
    found = descriptors(box.pid)
    os.close(read)
    os.close(write)
    assert found[0] == found[1] == "/dev/null"
    assert found[2] == str(box.bundle / "log")
    rest = sorted("socket" if name.startswith("socket:") else name for fd, name in found.items() if fd > 2)
    # the loop, the signals, the listening socket, and the connection of this test
    assert rest == ["anon_inode:[eventpoll]", "anon_inode:[signalfd]", "socket", "socket"]


def test_a_session_of_its_own_that_it_does_not_lead(host: Host) -> None:
    box = host.shim("one")
    fields = Path(f"/proc/{box.pid}/stat").read_text().rpartition(")")[2].split()
    parent, _group, session, tty = (int(field) for field in fields[1:5])
    assert parent != host.template.pid
    assert session not in (box.pid, os.getsid(host.template.pid))
    assert tty == 0


def test_it_reaps_what_is_orphaned_below_it(host: Host) -> None:
    box = host.shim("one", ["/bin/sleep", "100"])
    box.create()
    box.start()
    parent = status(box.state().pid)["PPid"]
    assert int(parent) == box.pid


def test_signals_are_reset(host: Host) -> None:
    box = host.shim("one")
    box.call("Connect", task_v3.ConnectRequest(id="one"), task_v3.ConnectResponse)
    fields = status(box.pid)

    def bit(number: int) -> int:
        return 1 << (number - 1)

    assert int(fields["SigIgn"], 16) == bit(signal.SIGPIPE) | bit(signal.SIGXFSZ)
    assert int(fields["SigBlk"], 16) == bit(signal.SIGCHLD) | bit(signal.SIGTERM)
    assert int(fields["SigCgt"], 16) == 0


def test_a_container_starts_with_default_signals(host: Host) -> None:
    box = host.shim("one", ["/bin/sleep", "100"])
    box.create()
    box.start()
    fields = status(box.state().pid)
    threads = 0b11 << 31  # posix_spawn(3) itself leaves the two signals of the threads library ignored
    assert int(fields["SigIgn"], 16) & ~threads == 0
    assert int(fields["SigBlk"], 16) == 0


def test_oom_score_is_set_and_not_inherited_by_the_container(host: Host) -> None:
    bundle = host.bundle("one", ["/bin/true"])
    reply = host.ask(host.request("one", bundle, oom_score_adj=7))
    host.pids.append(reply["pid"])
    assert Path(f"/proc/{reply['pid']}/oom_score_adj").read_text().strip() == "7"


def test_it_joins_the_cgroup_it_is_told(host: Host) -> None:
    group = Path(f"/sys/fs/cgroup/pids/{host.base.name}")
    if not group.parent.is_dir():
        pytest.skip("no version 1 pids controller here")
    group.mkdir()
    try:
        bundle = host.bundle("one", ["/bin/true"])
        reply = host.ask(host.request("one", bundle, cgroup=str(group)))
        assert (group / "cgroup.procs").read_text().split() == [str(reply["pid"])]
        os.kill(reply["pid"], signal.SIGKILL)
        eventually(lambda: not (group / "cgroup.procs").read_text())
    finally:
        group.rmdir()


def test_a_group_that_does_not_exist_is_an_error_and_leaves_nothing(host: Host) -> None:
    bundle = host.bundle("one", ["/bin/true"])
    reply = host.ask(host.request("one", bundle, cgroup="/sys/fs/cgroup/pids/no-such-group"))
    assert "no-such-group" in reply["error"]
    assert not (host.base / "one.sock").exists()


@pytest.mark.parametrize("field", ["namespace", "id", "bundle", "socket"])
def test_a_request_without_a_field_is_refused_by_name(host: Host, field: str) -> None:
    reply = host.ask({**host.request("one", host.base), field: ""})
    assert field in reply["error"]


def test_what_is_no_json_is_refused(host: Host) -> None:
    host.control.send(b"hello")
    assert b"not JSON" in host.control.recv(65536)


def test_a_live_socket_is_not_taken_over_but_a_dead_one_is(host: Host) -> None:
    box = host.shim("one")
    reply = host.ask(host.request("one", box.bundle))
    assert "one.sock" in reply["error"]
    os.kill(box.pid, signal.SIGKILL)
    eventually(lambda: not box.alive())
    again = host.ask(host.request("one", box.bundle))
    host.pids.append(again["pid"])
    assert running(again["pid"])


def test_a_listening_socket_can_be_handed_over(host: Host) -> None:
    path = host.base / "given.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    bundle = host.bundle("given", ["/bin/true"])
    reply = host.ask(host.request("given", bundle, socket=str(path)), [listener.fileno()])
    listener.close()
    host.pids.append(reply["pid"])
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_shim_survives_its_template(host: Host) -> None:
    box = host.shim("one", ["/bin/sleep", "100"])
    box.create()
    host.template.kill()
    host.template.wait()
    box.start()
    assert box.state().status == 2
    box.kill(9)
    assert box.wait().exit_status == 137


def test_the_template_ends_with_its_control_socket(host: Host) -> None:
    host.control.close()
    assert host.template.wait(10) == 0


def test_the_template_has_one_thread_and_no_children_left(host: Host) -> None:
    box = host.shim("one")
    assert status(host.template.pid)["Threads"] == "1"
    children = Path(f"/proc/{host.template.pid}/task/{host.template.pid}/children")
    eventually(lambda: children.read_text() == "")
    assert status(box.pid)["Threads"] == "1"


def test_a_forked_shim_imports_nothing() -> None:
    """A whole life in a process that was made what a shim is: imports raise there, so none happened."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import shim.template as t\n"
        "t.warm()\n"
        "try:\n    import argparse\nexcept t.ImportForbidden as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert "argparse is not loaded" in done.stdout


def test_imports_would_be_heard_of(host: Host) -> None:
    """Everything a container can ask for, and not a word of a forbidden import in the shim's log."""
    box = host.shim("one", ["/bin/sh", "-c", "echo out; echo err >&2; sleep 100"])
    log = host.base / "logs" / "c.log"
    box.create(stdout=f"json-file://{log}", stderr=f"json-file://{log}")
    box.start()
    box.exec("e", ["/bin/echo", "x"], stdout=f"file://{host.base}/e.log")
    box.start("e")
    box.wait("e")
    box.delete("e")
    box.call("Stats", task_v3.StatsRequest(id="one"), task_v3.StatsResponse)
    box.call("Pids", task_v3.PidsRequest(id="one"), task_v3.PidsResponse)
    box.kill(9)
    box.wait()
    box.delete()
    assert "imports nothing" not in box.log()
    assert "unexpected" not in box.log()
