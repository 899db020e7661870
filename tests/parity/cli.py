"""A command line under test: ``docker`` or ``pyctr`` on a daemon of its own, with the image ``busybox:latest``."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from typing import TYPE_CHECKING

from tests.e2e.pyctr import Terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMIT = 60.0
STANDING = "standing"
"""Name of the container that outlives tests."""
_numbers = itertools.count(1)


class Cli:
    """One side. Commands are given without the program; everything a test makes is removed by ``clean``."""

    def __init__(self, name: str, base: Sequence[str]) -> None:
        self.name, self._base = name, [*base]
        self._more = False

    @property
    def is_docker(self) -> bool:
        """Whether this is the model."""
        return self.name == "docker"

    def run(
        self, *words: str, input: bytes | None = None, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Whatever comes out of it, as text."""
        self._more = self._more or words[0] in ("volume", "network") or "-v" in words
        done = subprocess.run(
            [*self._base, *words],
            capture_output=True,
            timeout=LIMIT,
            check=False,
            env={**os.environ, **(env or {})},
            input=input or b"",
        )
        out, err = (data.decode(errors="surrogateescape") for data in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(words, done.returncode, out, err)

    def ok(self, *words: str, input: bytes | None = None, env: dict[str, str] | None = None) -> str:
        """Standard output, without the last line end, of a command that works."""
        done = self.run(*words, input=input, env=env)
        assert done.returncode == 0, f"{self.name} {' '.join(words)}: {done.returncode}\n{done.stderr}"
        return done.stdout.removesuffix("\n")

    def fails(self, code: int, *words: str) -> str:
        """Standard error of a command that ends with ``code``."""
        done = self.run(*words)
        assert done.returncode == code, f"{self.name} {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stderr

    def argv(self, *words: str) -> list[str]:
        """The whole command line."""
        return [*self._base, *words]

    def start(self, *words: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """In the background; the caller ends it."""
        return subprocess.Popen(self.argv(*words), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def terminal(self, *words: str, size: tuple[int, int] = (80, 24)) -> Terminal:
        """On a terminal of its own."""
        return Terminal(self.argv(*words), size)

    def once(self, *words: str, input: bytes | None = None) -> subprocess.CompletedProcess[str]:
        """``run --rm`` without a network."""
        done = self.run("run", "--rm", "--network", "none", *words, input=input)
        if self.is_docker and not done.stdout and not done.returncode:
            # On a busy machine 20.10 can lose what a container wrote that ended at once.
            return self.run("run", "--rm", "--network", "none", *words, input=input)
        return done

    def up(self, *words: str) -> str:
        """A running container of a new name; ``words`` are flags, image and command come by themselves."""
        name = fresh()
        self.ok("run", "-d", "--name", name, "--network", "none", *words, "busybox", "sleep", "1000")
        return name

    def ended(self, *command: str, flags: Sequence[str] = ()) -> str:
        """A container that has run ``command`` to its end."""
        name = fresh()
        self.run("run", "--name", name, "--network", "none", *flags, "busybox", *(command or ("true",)))
        return name

    def show(self, name: str, template: str) -> str:
        """``inspect -f``."""
        return self.ok("inspect", "-f", template, name)

    def until(self, text: str, *words: str) -> str:
        """Ask again and again until ``text`` is in the answer."""
        deadline = time.monotonic() + LIMIT / 2
        while text not in (said := self.run(*words).stdout):
            assert time.monotonic() < deadline, f"{words}: {said!r} never had {text!r}"
            time.sleep(0.05)
        return said

    def clean(self) -> None:
        """Remove every container, and the volumes and networks of tests."""
        rows = [line.split() for line in self.run("ps", "-a", "--format", "{{.ID}} {{.Names}}").stdout.splitlines()]
        ids = [row[0] for row in rows if row[1] != STANDING]
        if ids:
            self.run("rm", "-f", "-v", *ids)
        if not self._more:
            return
        self._more = False
        for noun in ("volume", "network"):
            made = self.run(noun, "ls", "--format", "{{.Name}}").stdout.split()
            mine = [name for name in made if name.startswith("par-")]
            if mine:
                self.run(noun, "rm", *mine)


def fresh(prefix: str = "par") -> str:
    """A name that was not used before."""
    return f"{prefix}-{next(_numbers)}"
