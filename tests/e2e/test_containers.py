"""A container's life by command line, with Docker's answers."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.pyctr import Pyctr

pytestmark = pytest.mark.root


def test_foreground_passes_streams_and_exit_code(pyctr: Pyctr) -> None:
    done = pyctr.run("run", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
    assert re.search(r"Exited \(3\) .* ago", pyctr.ok("ps", "-a"))
    assert pyctr.ok("ps") == "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES"


def test_input_of_any_size_goes_in_and_out(pyctr: Pyctr) -> None:
    data = os.urandom(5 << 20)
    assert pyctr.run("run", "-i", "--rm", "busybox", "cat", input=data).stdout == data
    assert pyctr.ok("run", "--rm", "busybox", "cat", input=b"nobody reads this") == ""


def test_detached_life(pyctr: Pyctr) -> None:
    identity = pyctr.ok("run", "-d", "--name", "web", "busybox", "sleep", "1000")
    assert re.fullmatch(r"[0-9a-f]{64}", identity)
    row = pyctr.ok("ps", "--format", "{{.ID}} {{.Image}} {{.Command}} {{.State}} {{.Names}}")
    assert row == f'{identity[:12]} busybox "sleep 1000" running web'
    assert pyctr.ok("exec", "web", "echo", "in") == "in"
    assert pyctr.ok("pause", "web") == "web"
    assert "(Paused)" in pyctr.ok("ps")
    assert "paused" in pyctr.fails(1, "exec", "web", "true")
    assert pyctr.ok("unpause", identity[:5]) == identity[:5]
    assert pyctr.ok("stop", "-t", "0", "web") == "web"
    assert pyctr.ok("wait", "web") == "137"
    assert pyctr.ok("start", "web") == "web"
    assert "Up " in pyctr.ok("ps")
    assert pyctr.ok("restart", "-t", "0", "web") == "web"
    assert "Up " in pyctr.ok("ps")
    assert pyctr.ok("rename", "web", "db") == ""
    assert pyctr.ok("kill", "db") == "db"
    assert pyctr.ok("wait", "db") == "137"
    assert pyctr.ok("rm", "db") == "db"
    assert pyctr.ok("ps", "-aq") == ""


def test_stop_asks_first(pyctr: Pyctr) -> None:
    pyctr.ok("run", "-d", "--name", "polite", "busybox", "sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.1; done")
    time.sleep(0.3)
    began = time.monotonic()
    pyctr.ok("stop", "polite")
    assert time.monotonic() - began < 8
    assert pyctr.ok("inspect", "-f", "{{.State.ExitCode}}", "polite") == "7"
    pyctr.ok(
        "run",
        "-d",
        "--name",
        "own",
        "--stop-signal",
        "USR1",
        "busybox",
        "sh",
        "-c",
        "trap 'exit 8' USR1; while :; do sleep 0.1; done",
    )
    time.sleep(0.3)
    pyctr.ok("stop", "own")
    assert pyctr.ok("wait", "own") == "8"


def test_nothing_is_left_behind(pyctr: Pyctr) -> None:
    root = pyctr.daemon.root
    before = pyctr.daemon.leftover_mounts()
    for _ in range(2):
        pyctr.ok("run", "--rm", "--name", "gone", "busybox", "true")
    assert pyctr.ok("ps", "-aq") == ""
    assert pyctr.daemon.leftover_mounts() == before
    assert list((root / "containers" / "default").iterdir()) == []
    assert not list((pyctr.daemon.base / "fifo").iterdir())
    assert "name-" not in pyctr.daemon.ctr("leases", "ls").stdout


def test_names_are_unique_and_free_again(pyctr: Pyctr) -> None:
    identity = pyctr.ok("create", "--name", "one", "busybox")
    message = pyctr.fails(125, "run", "--name", "one", "busybox", "true")
    assert f'The container name "/one" is already in use by container "{identity}"' in message
    pyctr.ok("create", "--name", "two", "busybox")
    assert "already in use" in pyctr.fails(1, "rename", "two", "one")
    pyctr.ok("rm", "one")
    pyctr.ok("rename", "two", "one")
    assert pyctr.ok("ps", "-a", "--format", "{{.Names}}") == "one"


def test_ids_by_unambiguous_beginning(pyctr: Pyctr) -> None:
    ids = [pyctr.ok("create", "busybox") for _ in range(17)]
    shared = next(digit for digit in "0123456789abcdef" if sum(one.startswith(digit) for one in ids) > 1)
    assert "is the beginning of several ids" in pyctr.fails(1, "rm", shared)
    assert len(pyctr.ok("ps", "-aq").split()) == 17
    pyctr.ok("rm", *ids)


def test_docker_tutorial_idioms(pyctr: Pyctr) -> None:
    for name in ("a1", "a2"):
        pyctr.ok("run", "-d", "--name", name, "-l", "tier=web", "busybox", "sleep", "1000")
    assert pyctr.ok("ps", "-q", "--filter", "name=a1").count("\n") == 0
    assert set(pyctr.ok("ps", "--filter", "label=tier=web", "--format", "{{.Names}}").split()) == {"a1", "a2"}
    assert pyctr.ok("container", "ls", "-lq") in pyctr.ok("ps", "-q")
    assert len(pyctr.ok("rm", "-f", *pyctr.ok("ps", "-aq").split()).split()) == 2
    assert pyctr.ok("rm", "-f", "nosuch") == ""
    assert "No such container: nosuch" in pyctr.fails(1, "rm", "nosuch")
    assert "invalid filter" in pyctr.fails(1, "ps", "--filter", "status=odd")


def test_a_running_container_is_not_removed_by_mistake(pyctr: Pyctr) -> None:
    identity = pyctr.ok("run", "-d", "busybox", "sleep", "1000")
    assert f"You cannot remove a running container {identity}" in pyctr.fails(1, "rm", identity)
    assert pyctr.ok("ps", "-q") == identity[:12]


def test_inspect_has_dockers_shape(pyctr: Pyctr) -> None:
    pyctr.ok("run", "-d", "--name", "web", "-m", "64m", "-e", "A=1", "-v", "/tmp:/t:ro", "busybox", "sleep", "1000")
    (document,) = json.loads(pyctr.ok("inspect", "web"))
    assert document["Name"] == "/web"
    assert document["State"]["Status"] == "running"
    assert Path(f"/proc/{document['State']['Pid']}").exists()
    assert (document["Path"], document["Args"]) == ("sleep", ["1000"])
    assert document["HostConfig"]["Memory"] == 64 << 20
    assert "A=1" in document["Config"]["Env"]
    assert document["Mounts"] == [
        {"Type": "bind", "Source": "/tmp", "Destination": "/t", "Mode": "ro", "RW": False, "Propagation": "rprivate"}
    ]
    assert document["Created"] <= document["State"]["StartedAt"]
    assert pyctr.ok("inspect", "--format", "{{json .Config.Cmd}}", "web") == '["sleep","1000"]'
    assert "No such object: nosuch" in pyctr.fails(1, "inspect", "nosuch")
    (image,) = json.loads(pyctr.ok("image", "inspect", "busybox"))
    assert image["RepoTags"] == ["busybox:latest"]
    assert image["Id"] == document["Image"]


def test_top_stats_and_limits(pyctr: Pyctr) -> None:
    pyctr.ok("run", "-d", "--name", "web", "-m", "64m", "--pids-limit", "20", "busybox", "sh", "-c", "sleep 1000; true")
    top = pyctr.ok("top", "web")
    assert top.splitlines()[0].split()[:2] == ["UID", "PID"]
    assert "sleep 1000" in top
    row = json.loads(pyctr.ok("stats", "--no-stream", "--format", "json", "web"))
    assert row["Name"] == "web"
    assert row["MemUsage"].endswith("/ 64MiB")
    assert row["PIDs"] == "2"


def test_signals_are_passed_on(pyctr: Pyctr) -> None:
    process = pyctr.start(
        "run", "--name", "sig", "busybox", "sh", "-c", "trap 'echo got; exit 5' INT; while :; do sleep 0.1; done"
    )
    pyctr.until("sig", "ps", "--format", "{{.Names}}")
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert (out, process.returncode) == (b"got\n", 5)


def test_a_killed_client_leaves_the_container_alone(pyctr: Pyctr) -> None:
    process = pyctr.start("run", "--name", "alone", "busybox", "sh", "-c", "while :; do echo tick; sleep 0.05; done")
    pyctr.until("alone", "ps", "--format", "{{.Names}}")
    process.kill()
    process.communicate(timeout=20)
    before = pyctr.ok("logs", "alone").count("tick")
    time.sleep(0.5)
    assert pyctr.ok("logs", "alone").count("tick") > before
    assert "Up " in pyctr.ok("ps")


def test_a_stopped_container_of_another_client_is_shown(pyctr: Pyctr) -> None:
    pyctr.daemon.ctr("run", "-d", "docker.io/library/busybox:latest", "foreign", "sleep", "1000")
    try:
        assert "foreign" in pyctr.ok("ps", "--format", "{{.Names}}")
        assert pyctr.ok("exec", "foreign", "echo", "hi") == "hi"
    finally:
        pyctr.ok("rm", "-f", "foreign")
        pyctr.daemon.ctr("snapshots", "rm", "foreign", check=False)


def test_attach_joins_and_several_may(pyctr: Pyctr) -> None:
    pyctr.ok("run", "-d", "-i", "--name", "cat", "busybox", "cat")
    first = pyctr.start("attach", "--no-stdin", "cat")
    time.sleep(0.4)
    second = pyctr.run("attach", "--sig-proxy=false", "cat", input=b"hello\n")
    assert second.stdout == b"hello\n"
    assert first.communicate(timeout=20)[0] == b"hello\n", "the end of input ended cat, and cat both"
    assert pyctr.ok("wait", "cat") == "0"
    assert "stopped container" in pyctr.fails(1, "attach", "cat")


def test_start_attached(pyctr: Pyctr) -> None:
    pyctr.ok("create", "--name", "job", "busybox", "sh", "-c", "echo again; exit 4")
    for _ in range(2):
        done = pyctr.run("start", "-a", "job")
        assert (done.returncode, done.stdout) == (4, b"again\n")
    assert pyctr.ok("logs", "job") == "again\nagain"


def test_namespaces_are_worlds_apart(pyctr: Pyctr) -> None:
    pyctr.ok("create", "--name", "here", "busybox")
    assert pyctr.ok("-n", "other", "ps", "-aq") == ""
    assert "No such container" in pyctr.fails(1, "-n", "other", "rm", "here")


def test_trace(pyctr: Pyctr) -> None:
    done = pyctr.run("--trace=tree", "run", "--rm", "busybox", "true")
    assert done.returncode == 0
    text = done.stderr.decode()
    assert text.splitlines()[0].startswith("pyctr run")
    assert "Tasks/Create" in text
    assert "runtime create" in text


def test_waiting_outlasts_the_daemon(own: Pyctr) -> None:
    own.ok("run", "-d", "--name", "job", "busybox", "sh", "-c", "trap 'exit 4' TERM; while :; do sleep 0.1; done")
    with own.start("wait", "job") as waiting:
        deadline = time.monotonic() + 30
        while _sockets(waiting.pid) < 2:  # the second one is its question
            assert time.monotonic() < deadline
            assert waiting.poll() is None
            time.sleep(0.02)
        own.daemon.kill()
        own.daemon.start()
        own.ok("stop", "job")
        out, err = waiting.communicate(timeout=60)
    assert (out, err, waiting.returncode) == (b"4\n", b"", 0)


def _sockets(pid: int) -> int:
    found = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found += os.readlink(descriptor).startswith("socket:")
    return found
