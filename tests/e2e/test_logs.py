"""Logs by command line: bounded by default, whole over rotation, followed over everything."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
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


def test_other_drivers(pyctr: Pyctr) -> None:
    pyctr.ok("run", "--name", "quiet", "--log-driver", "none", "busybox", "echo", "hi")
    assert "does not support reading" in pyctr.fails(1, "logs", "quiet")
    assert "no log driver named 'gelf'" in pyctr.fails(125, "run", "--log-driver", "gelf", "busybox", "true")
