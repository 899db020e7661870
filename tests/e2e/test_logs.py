"""Logs by command line: bounded by default, whole over rotation, followed over everything."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from pycontainerd.client.attach import SERVICE
from pycontainerd.client.daemon import Daemon
from pycontainerd.core.errors import FailedPrecondition
from pycontainerd.wire.messages.attach import ReopenLogRequest
from pycontainerd.wire.messages.google import Empty

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.pyctr import Pyctr

pytestmark = pytest.mark.root


def test_streams_tail_and_times(pyctr: Pyctr) -> None:
    pyctr.ok("run", "-d", "--name", "log", "busybox", "sh", "-c", "for i in 1 2 3; do echo out$i; done; echo err >&2")
    pyctr.ok("wait", "log")
    done = pyctr.run("logs", "log")
    assert (done.stdout, done.stderr) == (b"out1\nout2\nout3\n", b"err\n")
    assert pyctr.run("logs", "--tail", "0", "log").stdout == b""
    tail = pyctr.run("logs", "-n2", "log")
    assert (tail.stdout + tail.stderr).count(b"\n") == 2
    stamp = pyctr.ok("logs", "-t", "log").splitlines()[0].split()[0]
    assert stamp.startswith("20")
    assert stamp.endswith("Z")
    assert pyctr.ok("logs", "--since", "1h", "log").count("out") == 3
    assert pyctr.ok("logs", "--until", "1h", "log") == ""
    assert "give 10m" in pyctr.fails(1, "logs", "--since", "yesterday", "log")


def test_following_ends_with_the_container(pyctr: Pyctr) -> None:
    pyctr.ok("run", "-d", "--name", "log", "busybox", "sh", "-c", "for i in 1 2 3 4 5; do echo n$i; sleep 0.2; done")
    began = time.monotonic()
    assert pyctr.ok("logs", "-f", "log").split() == ["n1", "n2", "n3", "n4", "n5"]
    assert time.monotonic() - began < 20


def test_no_line_is_lost_or_doubled_over_rotation(pyctr: Pyctr) -> None:
    count = 20_000
    script = f"sleep 0.5; i=0; while [ $i -lt {count} ]; do echo line $i; i=$((i+1)); done"
    options = ["--log-opt", "max-size=64k", "--log-opt", "max-file=100"]
    pyctr.ok("run", "-d", "--name", "log", *options, "busybox", "sh", "-c", script)
    wanted = [f"line {number}" for number in range(count)]
    assert pyctr.ok("logs", "-f", "log").splitlines() == wanted
    assert pyctr.ok("logs", "log").splitlines() == wanted
    assert pyctr.ok("logs", "--tail", "1500", "log").splitlines() == wanted[-1500:]
    directory = pyctr.daemon.root / "containers" / "default" / pyctr.ok("ps", "-aq", "--no-trunc")
    assert len(list(directory.glob("*-json.log.*"))) > 5


def test_following_survives_the_daemon(own: Pyctr) -> None:
    own.ok("run", "-d", "--name", "log", "busybox", "sh", "-c", "for i in $(seq 30); do echo n$i; sleep 0.1; done")
    follower = own.start("logs", "-f", "log")
    time.sleep(0.5)
    own.daemon.kill()
    time.sleep(0.5)
    own.daemon.start()
    try:
        out, _ = follower.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        follower.kill()
        follower.communicate()
        raise
    assert out.split() == [b"n%d" % number for number in range(1, 31)]


def test_following_over_many_packed_rotations_and_daemons(own: Pyctr) -> None:
    count = 40_000
    script = f"i=0; while [ $i -lt {count} ]; do echo line $i; i=$((i+1)); [ $((i%500)) = 0 ] && sleep 0.05; done; true"
    options = ["--log-opt", "max-size=32k", "--log-opt", "max-file=1000"]
    own.ok("run", "-d", "--name", "log", *options, "busybox", "sh", "-c", script)
    follower = own.start("logs", "-f", "log")
    try:
        for _ in range(2):
            time.sleep(0.7)
            own.daemon.kill()
            time.sleep(0.3)
            own.daemon.start()
        out, err = follower.communicate(timeout=60)
    finally:
        follower.kill()
        follower.wait()
    assert err == b""
    assert out.decode().splitlines() == [f"line {number}" for number in range(count)]
    directory = own.daemon.root / "containers" / "default" / own.ok("ps", "-aq", "--no-trunc")
    assert len(list(directory.glob("*-json.log.*.gz"))) > 50


def test_a_restarted_container_goes_on_in_its_log(own: Pyctr) -> None:
    script = "i=0; while :; do echo $i; i=$((i+1)); done"
    options = ["--log-opt", "max-size=256k", "--log-opt", "max-file=1000"]
    own.ok("run", "-d", "--name", "log", *options, "busybox", "sh", "-c", script)
    time.sleep(0.5)
    own.ok("kill", "log")
    own.until("Exited", "ps", "-a")
    own.ok("start", "log")
    time.sleep(0.5)
    own.ok("kill", "log")
    lines = [int(line) for line in own.ok("logs", "log").splitlines()]
    again = lines.index(0, 1)
    assert lines == [*range(again), *range(len(lines) - again)]
    assert len(lines) - again > 100


def test_the_kubelets_format(pyctr: Pyctr) -> None:
    script = "for i in $(seq 3000); do echo out $i; done; echo err >&2; printf rest"
    options = ["--log-driver", "cri", "--log-opt", "max-size=16k", "--log-opt", "max-file=100"]
    pyctr.ok("run", "--name", "log", *options, "busybox", "sh", "-c", script)
    done = pyctr.run("logs", "log")
    assert done.stdout.decode() == "".join(f"out {number}\n" for number in range(1, 3001)) + "rest"
    assert done.stderr == b"err\n"
    assert pyctr.run("logs", "-n", "3", "log").stdout.decode().splitlines()[-1] == "rest"
    path = pyctr.ok("inspect", "-f", "{{.LogPath}}", "log")
    assert path.endswith("-cri.log")


def test_a_log_that_was_renamed_away_is_reopened(pyctr: Pyctr) -> None:
    script = "echo before; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo after"
    full = pyctr.ok("run", "-d", "--name", "log", "--log-driver", "cri", "busybox", "sh", "-c", script)
    pyctr.until("before", "logs", "log")
    path = pyctr.ok("inspect", "-f", "{{.LogPath}}", "log")
    os.rename(path, f"{path}.1")
    with Daemon(f"{pyctr.daemon.address}.ttrpc", "default") as daemon:
        daemon.call(SERVICE, "ReopenLog", ReopenLogRequest(id=full), Empty)
        pyctr.ok("exec", "log", "touch", "/tmp/go")
        pyctr.ok("wait", "log")
        with open(path) as file:
            assert file.read().endswith(" stdout F after\n")
        assert pyctr.ok("logs", "log") == "before\nafter"
        with pytest.raises(FailedPrecondition):
            daemon.call(SERVICE, "ReopenLog", ReopenLogRequest(id=full), Empty)


def test_labels_and_variables_beside_the_lines(pyctr: Pyctr) -> None:
    options = ["--label", "team=blue", "-e", "A=1", "--log-opt", "labels=team", "--log-opt", "env=A"]
    pyctr.ok("run", "--name", "log", *options, "--log-opt", "tag={{.Name}}", "busybox", "echo", "hi")
    assert pyctr.ok("logs", "--details", "log") == "A=1,tag=log,team=blue hi"


def test_options_are_refused_in_dockers_words(pyctr: Pyctr) -> None:
    said = pyctr.fails(125, "run", "--log-opt", "max-file=0", "busybox", "true")
    assert "max-file cannot be less than 1" in said
    said = pyctr.fails(125, "run", "--log-opt", "max-buffer-size=1m", "busybox", "true")
    assert "only supported with 'mode=non-blocking'" in said


@pytest.mark.skipif(os.path.exists("/run/systemd/journal/socket"), reason="there is a journal here")
def test_a_journal_that_is_not_there_is_told(pyctr: Pyctr) -> None:
    said = pyctr.fails(125, "run", "--log-driver", "journald", "--name", "log", "busybox", "true")
    assert "/run/systemd/journal/socket" in said
    assert "does not listen" in said


def test_the_journal_is_read_by_journalctl(pyctr: Pyctr, tmp_path: Path) -> None:
    pyctr.ok("create", "--log-driver", "journald", "--name", "log", "busybox", "true")
    script = tmp_path / "journalctl"
    entry = {"MESSAGE": "from the journal", "PRIORITY": "6", "__REALTIME_TIMESTAMP": "1700000000000000"}
    script.write_text(f"#!/bin/sh\necho '{json.dumps(entry)}'\n")
    script.chmod(0o755)
    assert pyctr.ok("logs", "log", env={"PATH": f"{tmp_path}:/bin"}) == "from the journal"
    done = pyctr.run("logs", "log", env={"PATH": str(tmp_path / "none")})
    assert done.returncode == 1
    assert b"no journalctl to read it" in done.stderr


def test_other_drivers(pyctr: Pyctr) -> None:
    pyctr.ok("run", "--name", "quiet", "--log-driver", "none", "busybox", "echo", "hi")
    assert "does not support reading" in pyctr.fails(1, "logs", "quiet")
    assert "no log driver named 'gelf'" in pyctr.fails(125, "run", "--log-driver", "gelf", "busybox", "true")
