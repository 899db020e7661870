"""A real daemon with a root, state and socket of its own, and everything it started gone afterwards.

    with RunningDaemon() as daemon:
        daemon.ctr("version")

or the fixture ``daemon`` (a fresh one a test) and ``shared_daemon`` (one a module). ``kill()`` and ``start()`` in
between are allowed: state stays until the block ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from pycontainerd.network.ground import table_of, tag_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT = 15.0
"""Seconds a daemon may take to answer; this machine is shared."""


class RunningDaemon:
    """One daemon process and its directories; ``address`` is the gRPC socket, ``ttrpc`` the other one."""

    def __init__(
        self, *, config: str = "", arguments: Sequence[str] = (), environment: dict[str, str] | None = None
    ) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="pc-test-", dir="/tmp"))
        self.root, self.state = self.base / "root", self.base / "state"
        self.address = str(self.base / "c.sock")
        self.ttrpc = f"{self.address}.ttrpc"
        self.log = self.base / "log"
        self.config = self.base / "config.toml"
        self.config.write_text(config)
        self._arguments, self._environment = list(arguments), environment or {}
        self.process: subprocess.Popen[bytes] | None = None

    # -- life --

    def start(self, *, wait: bool = True) -> RunningDaemon:
        """Start the process, and wait until it answers."""
        command = [sys.executable, "-m", "pycontainerd.daemon.main", "--config", str(self.config)]
        command += ["--root", str(self.root), "--state", str(self.state), "--address", self.address]
        command += ["--log-level", "debug", *self._arguments]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment},
            )
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self) -> None:
        """Wait until both sockets accept."""
        assert self.process is not None
        deadline = time.monotonic() + START_LIMIT
        while not all(_accepts(path) for path in (self.ttrpc, self.address)):
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon ended with {self.process.returncode}:\n{self.output()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"the daemon does not answer:\n{self.output()}")
            time.sleep(0.02)

    def stop(self, timeout: float = 30.0) -> int:
        """SIGTERM; returns the exit status."""
        return self._end(signal.SIGTERM, timeout)

    def kill(self) -> int:
        """SIGKILL, as a crash."""
        return self._end(signal.SIGKILL, 10.0)

    def restart(self) -> RunningDaemon:
        """Stop and start again on the same directories."""
        self.stop()
        return self.start()

    def output(self) -> str:
        """What the daemon logged so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _end(self, number: signal.Signals, timeout: float) -> int:
        if self.process is None:
            return 0
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    # -- clients --

    def ctr(
        self,
        *arguments: str,
        namespace: str = "",
        check: bool = True,
        timeout: float = 60.0,
        input: bytes | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run Debian's ctr on our socket; returns it with text in stdout and stderr."""
        command = ["ctr", "-a", self.address, *(["-n", namespace] if namespace else []), *arguments]
        done = subprocess.run(command, capture_output=True, timeout=timeout, check=False, input=input)
        result = subprocess.CompletedProcess(
            command, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )
        if check and result.returncode:
            raise AssertionError(
                f"{' '.join(command)} ended with {result.returncode}:\n{result.stdout}{result.stderr}\n"
                f"--- daemon ---\n{self.output()[-4000:]}"
            )
        return result

    # -- the end --

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the daemon, end what it left running, unmount and remove its directories."""
        try:
            if self.process is not None and self.process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.stop()
        finally:
            self._sweep()

    def _sweep(self) -> None:
        self._sweep_processes_and_mounts()
        self._sweep_network()
        shutil.rmtree(self.base, ignore_errors=True)

    def _sweep_processes_and_mounts(self) -> None:
        for pid in self.leftover_processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while self.leftover_processes() and time.monotonic() < deadline:
            time.sleep(0.05)
        for target in reversed(self.leftover_mounts()):
            subprocess.run(["umount", "-l", target], check=False, capture_output=True)

    def _sweep_network(self) -> None:
        """Links and packet filter rules: a daemon leaves its networks as they are when it stops."""
        prefix = f"pycontainerd:{tag_of(str(self.root))}:"
        listed = subprocess.run(["ip", "-j", "link"], check=False, capture_output=True).stdout
        for link in json.loads(listed or "[]"):
            if link.get("ifalias", "").startswith(prefix):
                subprocess.run(["ip", "link", "del", link["ifname"]], check=False, capture_output=True)
        table = ["nft", "delete", "table", "inet", table_of(str(self.root))]
        subprocess.run(table, check=False, capture_output=True)

    def leftover_mounts(self) -> list[str]:
        """Mount points below our directories, in mount order."""
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        targets = [line.split()[4].encode().decode("unicode_escape") for line in lines]
        return [target for target in targets if target.startswith(f"{self.base}/")]

    def leftover_processes(self) -> list[int]:
        """Shims and container processes of this daemon that are still alive; not what it has started for its work."""
        mine = {os.getpid()}
        if self.process:
            mine |= {self.process.pid, *_children(self.process.pid)}
        sockets = _socket_inodes(f"{self.base}/")
        return [pid for pid in _pids() if pid not in mine and _belongs(pid, str(self.base), sockets)]


def _accepts(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(path)
        except OSError:
            return False
    return True


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _children(pid: int) -> set[int]:
    """What a process has started and not yet reaped: shims are nobody's children, the template is the daemon's."""
    found: set[int] = set()
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found.update(map(int, thread.read_text().split()))
    return found


def _socket_inodes(prefix: str) -> set[str]:
    lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    found = [line.split() for line in lines]
    return {f"socket:[{parts[6]}]" for parts in found if len(parts) > 7 and parts[7].startswith(prefix)}


def _belongs(pid: int, base: str, sockets: set[str]) -> bool:
    """Whether a process names our directories, has something open below them, or lives in a mount namespace made from
    them. Sockets of a daemon that was started in another network namespace are not among ``sockets``."""
    proc = Path(f"/proc/{pid}")
    try:
        if base.encode() in (proc / "cmdline").read_bytes():
            return True
        for fd in (proc / "fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                link = os.readlink(fd)
                if link in sockets or link.startswith(f"{base}/"):
                    return True
        if os.readlink(proc / "ns/mnt") == os.readlink("/proc/self/ns/mnt"):
            return False
        return f"{base}/" in (proc / "mountinfo").read_text()
    except OSError:
        return False


@pytest.fixture
def daemon() -> Iterator[RunningDaemon]:
    """A fresh daemon."""
    with RunningDaemon() as running:
        yield running


@pytest.fixture(scope="module")
def shared_daemon() -> Iterator[RunningDaemon]:
    """One daemon for a module whose tests keep out of each other's way by namespace."""
    with RunningDaemon() as running:
        yield running
