"""Running pyctr as a person does: with pipes, and on a real terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.daemon import RunningDaemon

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 60.0
STARTER = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from ctr.main import main; sys.exit(main())"


class Pyctr:
    """The program on one daemon."""

    def __init__(self, daemon: RunningDaemon, namespace: str = "default") -> None:
        self.daemon = daemon
        self.base = [sys.executable, "-I", "-S", "-c", STARTER, "--address", daemon.address, "-n", namespace]

    def run(
        self, *words: str, input: bytes | None = None, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Whatever comes out of it."""
        with subprocess.Popen(
            [*self.base, *words],
            stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
        ) as process:
            try:
                out, err = process.communicate(input, timeout=LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def ok(self, *words: str, input: bytes | None = None, env: dict[str, str] | None = None) -> str:
        """Standard output, without the last line end, of a command that works."""
        done = self.run(*words, input=input, env=env)
        assert done.returncode == 0, f"pyctr {' '.join(words)}: {done.returncode}\n{done.stderr.decode()}"
        return done.stdout.decode().removesuffix("\n")

    def fails(self, code: int, *words: str) -> str:
        """Standard error of a command that ends with ``code``, and which shows no traceback."""
        done = self.run(*words)
        assert done.returncode == code, f"pyctr {' '.join(words)}: {done.returncode}\n{done.stderr.decode()}"
        assert b"Traceback" not in done.stderr
        return done.stderr.decode()

    def start(self, *words: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """In the background; the caller ends it."""
        return subprocess.Popen([*self.base, *words], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def terminal(self, *words: str, size: tuple[int, int] = (80, 24)) -> Terminal:
        """On a terminal of its own."""
        return Terminal([*self.base, *words], size)

    def until(self, text: str, *words: str) -> str:
        """Ask again and again until ``text`` is in the answer."""
        deadline = time.monotonic() + LIMIT / 2
        while True:
            said = self.run(*words)
            if text in said.stdout.decode():
                return said.stdout.decode()
            assert time.monotonic() < deadline, f"{words}: {said.stdout.decode()!r} never had {text!r}"
            time.sleep(0.05)

    def load_busybox(self) -> None:
        """The image ``busybox:latest``."""
        with tempfile.TemporaryDirectory() as directory:
            path = f"{directory}/busybox.tar"
            maker = [sys.executable, str(ROOT / "scripts/busybox_image.py"), path, "docker.io/library/busybox:latest"]
            subprocess.run(maker, check=True)
            self.ok("load", "-q", "-i", path)

    def clean(self) -> None:
        """Remove every container."""
        ids = self.run("ps", "-aq").stdout.decode().split()
        if ids:
            self.run("rm", "-f", *ids)


class Terminal:
    """A program on a pseudo-terminal, and a person in front of it."""

    def __init__(self, argv: Sequence[str], size: tuple[int, int]) -> None:
        self.seen = b""
        self.master, slave = pty.openpty()
        self.resize(*size)
        self.before = termios.tcgetattr(slave)
        self._slave = slave
        self.process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=_take_terminal
        )

    def resize(self, width: int, height: int) -> None:
        """Pull at the window's corner."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def type(self, text: str) -> None:
        """Keys."""
        os.write(self.master, text.encode())

    def expect(self, text: str, limit: float = 20.0) -> str:
        """Wait until ``text`` has come; what came before it and itself, which is then forgotten."""
        deadline = time.monotonic() + limit
        wanted = text.encode()
        while wanted not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} did not come; there is {self.seen[-2000:]!r}"
            if select.select([self.master], [], [], left)[0]:
                self.seen += os.read(self.master, 65536)
        end = self.seen.index(wanted) + len(wanted)
        found, self.seen = self.seen[:end], self.seen[end:]
        return found.decode(errors="replace")

    def is_restored(self) -> bool:
        """Whether the terminal is as it was before."""
        return termios.tcgetattr(self._slave) == self.before

    def is_raw(self) -> bool:
        """Whether keys go through unread."""
        return not termios.tcgetattr(self._slave)[3] & (termios.ICANON | termios.ECHO)

    def wait(self, limit: float = 20.0) -> int:
        """Its exit code; output is taken meanwhile, so that it never waits for us."""
        deadline = time.monotonic() + limit
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end; there is {self.seen[-2000:]!r}"
            if select.select([self.master], [], [], 0.05)[0]:
                self.seen += os.read(self.master, 65536)
        return self.process.returncode

    def close(self) -> None:
        """End it if it runs."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self.master)
        os.close(self._slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
