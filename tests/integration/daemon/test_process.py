"""The daemon as a process: starting, signals, mistakes, and what it leaves behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from pycontainerd.api.events.v1 import events_pb2
from tests.support.daemon import ROOT, RunningDaemon
from tests.support.stubs import Stub, connect

pytestmark = pytest.mark.root
DAEMON = [sys.executable, "-m", "pycontainerd.daemon.main"]


def command(*arguments: str, input: bytes = b"") -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*DAEMON, *arguments], cwd=ROOT, capture_output=True, input=input, timeout=30, check=False)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def test_the_small_commands() -> None:
    assert command("--version").stdout.startswith("pycontainerd 0.")
    default = command("config", "default")
    assert default.returncode == 0
    assert 'root = "/var/lib/pycontainerd"' in default.stdout
    dumped = command("--root", "/elsewhere", "config", "dump")
    assert 'root = "/elsewhere"' in dumped.stdout


def test_a_bad_configuration_is_one_sentence_and_status_one(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("rooot = 1")
    done = command("--config", str(tmp_path / "c.toml"))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "did you mean root?" in done.stderr


def test_a_second_daemon_on_the_same_root_is_refused(daemon: RunningDaemon, tmp_path: Path) -> None:
    arguments = ["--root", str(daemon.root), "--state", str(tmp_path / "s"), "--address", str(tmp_path / "c.sock")]
    done = command(*arguments)
    assert done.returncode == 1
    assert daemon.process is not None
    assert f"the daemon with pid {daemon.process.pid} uses it" in done.stderr
    assert "Traceback" not in done.stderr
    daemon.ctr("version")


def test_a_second_daemon_on_the_same_socket_is_refused(daemon: RunningDaemon, tmp_path: Path) -> None:
    done = command("--root", str(tmp_path / "r"), "--state", str(tmp_path / "s"), "--address", daemon.address)
    assert done.returncode == 1
    assert "another daemon listens on it" in done.stderr
    daemon.ctr("version")


def test_a_crash_leaves_sockets_that_the_next_start_replaces(daemon: RunningDaemon) -> None:
    daemon.ctr("namespaces", "create", "kept")
    daemon.kill()
    assert Path(daemon.address).is_socket()
    daemon.start()
    assert "kept" in daemon.ctr("namespaces", "ls").stdout


def test_sigterm_ends_it_cleanly_and_removes_the_sockets(daemon: RunningDaemon) -> None:
    with socket.socket(socket.AF_UNIX) as idle:
        idle.connect(daemon.ttrpc)
        assert daemon.stop() == 0
    assert not Path(daemon.address).exists()
    assert not Path(daemon.ttrpc).exists()
    assert '"stopped"' in daemon.output()
    assert "Traceback" not in daemon.output()


def test_a_subscriber_does_not_hold_up_the_stop(daemon: RunningDaemon) -> None:
    with connect(daemon.address) as channel:
        stream = Stub(channel, "containerd.services.events.v1.Events").Subscribe(
            events_pb2.SubscribeRequest(), timeout=None
        )
        stream.initial_metadata()
        started = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - started < 10


def test_the_state_and_root_are_not_for_everyone(daemon: RunningDaemon) -> None:
    for path in (daemon.root, daemon.state):
        assert path.stat().st_mode & 0o777 == 0o711
    for name in (daemon.address, daemon.ttrpc):
        assert Path(name).stat().st_mode & 0o777 == 0o660


def test_the_uuid_survives_and_descriptors_are_not_inherited() -> None:
    with RunningDaemon() as daemon:
        first = daemon.ctr("version").stdout
        daemon.restart()
        assert daemon.ctr("version").stdout == first
        daemon.stop()
        read, write = os.pipe()
        os.set_inheritable(write, True)
        try:
            daemon.start()
            assert daemon.process is not None
            assert os.readlink(f"/proc/self/fd/{write}") not in _open_files(daemon.process.pid)
        finally:
            os.close(read)
            os.close(write)


def _open_files(pid: int) -> list[str]:
    """What a process has open; a descriptor that it closes while we look does not count."""
    found = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(fd))
    return found


def test_sighup_reads_the_log_level_again(daemon: RunningDaemon) -> None:
    assert daemon.process is not None
    daemon.config.write_text("nonsense = 1")
    daemon.process.send_signal(signal.SIGHUP)
    _wait_for(daemon, "could not be read again")
    daemon.config.write_text("")
    daemon.process.send_signal(signal.SIGHUP)
    _wait_for(daemon, "configuration read again")
    daemon.ctr("version")


def test_the_service_manager_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n"))
        manager.settimeout(10)
        with RunningDaemon(environment={"NOTIFY_SOCKET": str(tmp_path / "n")}) as daemon:
            assert manager.recv(1000).startswith(b"READY=1\n")
            daemon.stop()
            assert manager.recv(1000).startswith(b"STOPPING=1\n")


def test_logs_are_json_lines(daemon: RunningDaemon) -> None:
    lines = [json.loads(line) for line in daemon.output().splitlines()]
    assert any(line["event"] == "serving" and line["level"] == "info" for line in lines)


def test_metrics_are_served_when_asked_for() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with RunningDaemon(config=f'metrics.address = "127.0.0.1:{port}"') as daemon:
        daemon.ctr("namespaces", "ls")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    assert (
        'pycontainerd_rpc_seconds_count{method="containerd.services.namespaces.v1.Namespaces/List",code="0"} 1' in text
    )
    for name in ("pycontainerd_tasks 0", "pycontainerd_shims 0", "process_resident_memory_bytes"):
        assert name in text


def test_an_event_can_be_published_by_the_binary(daemon: RunningDaemon) -> None:
    from google.protobuf.any_pb2 import Any

    with connect(daemon.address) as channel:
        events = Stub(channel, "containerd.services.events.v1.Events").Subscribe(events_pb2.SubscribeRequest())
        events.initial_metadata()
        payload = Any(type_url="containerd.events.TaskOOM", value=b"\x0a\x01c").SerializeToString()
        arguments = ["--address", daemon.address, "publish", "--topic", "/tasks/oom", "--namespace", "moby"]
        run = command(*arguments, input=payload)
        assert run.returncode == 0, run.stderr
        envelope = next(events)
        events.cancel()
    assert (envelope.namespace, envelope.topic, envelope.event.value) == ("moby", "/tasks/oom", b"\x0a\x01c")


def test_publishing_to_nobody_is_a_sentence(tmp_path: Path) -> None:
    arguments = ["--address", str(tmp_path / "none"), "publish", "--topic", "/t", "--namespace", "n"]
    done = command(*arguments)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "none") in done.stderr


def _wait_for(daemon: RunningDaemon, text: str) -> None:
    deadline = time.monotonic() + 10
    while text not in daemon.output():
        assert time.monotonic() < deadline, daemon.output()
        time.sleep(0.05)
