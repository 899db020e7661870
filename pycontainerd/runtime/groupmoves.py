"""Keeping the kernel ready to move processes between control groups while containers are created.

The first such move waits for an RCU grace period (kernel/cgroup/cgroup.c: ``cgroup_threadgroup_rwsem``; 6 to 16 ms were
measured, more than the rest of a create takes); those that follow within the next grace period wait for nothing. An OCI
runtime makes its moves late in `create` and `exec`, so a thread makes one that changes nothing as soon as one of these
begins, and repeats it until they are over: the wait then passes while there is other work to do.

On version 2 the daemon is moved to the group it is in. On version 1, where groups hold single threads, the thread stays
in a group of its own below the daemon's and moves there again. Where neither is permitted, containers merely wait.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from pycontainerd.linux import cgroup

if TYPE_CHECKING:
    from collections.abc import Iterator

PAUSE = 0.004
"""Seconds between moves: grace periods take longer, so the next one finds the last one's effect."""
LINGER = 0.02
"""Seconds the moves go on after the last use, for the next container of a burst."""
LIMIT = 0.5
"""Seconds after which a create is not one that will soon move something, but one that hangs."""
_PREFERRED = ("freezer", "pids", "devices", "name=systemd")
_ATTEMPTS = 10
_GROUP = "pycontainerd.moves"
_log = structlog.get_logger("runtime")


class GroupMoves:
    """The thread, which sleeps unless somebody is inside ``expected()``. Started by the first use."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._wanted = 0
        self._until = 0.0
        self._closed = False
        self._thread: threading.Thread | None = None
        self._folder = ""

    @contextmanager
    def expected(self) -> Iterator[None]:
        """Around work in which processes are going to be moved. Costs nothing to speak of and never fails."""
        with self._condition:
            self._wanted += 1
            self._until = time.monotonic() + LIMIT
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="group-moves", daemon=True)
                self._thread.start()
            self._condition.notify()
        try:
            yield
        finally:
            with self._condition:
                self._wanted -= 1
                if not self._wanted:
                    self._until = min(self._until, time.monotonic() + LINGER)

    def close(self) -> None:
        """End the thread and remove its group. Idempotent."""
        with self._condition:
            self._closed = True
            self._condition.notify()
            thread, self._thread = self._thread, None
        if thread is None:
            return
        thread.join(1.0)
        for _ in range(_ATTEMPTS if self._folder else 0):  # the kernel's thread ends a little after Python's
            try:
                os.rmdir(self._folder)
            except FileNotFoundError:
                return
            except OSError:  # or another daemon uses the group, and removes it
                time.sleep(PAUSE)

    def _run(self) -> None:
        try:
            place = Place.find(cgroup.mounted(), cgroup.own())
        except OSError as error:
            _log.debug("moves between control groups are not prepared", error=str(error))
            return
        self._folder = place.folder
        try:
            while self._awaited():
                place.move()
                time.sleep(PAUSE)
        except OSError as error:
            _log.debug("moves between control groups are not prepared any more", error=str(error))
        finally:
            place.close()

    def _awaited(self) -> bool:
        """Wait until moves are expected; False when that is never again."""
        with self._condition:
            while not self._closed and time.monotonic() >= self._until:
                self._condition.wait()
            return not self._closed


class Place:
    """The file to which ``who`` is written to be moved where it is already; ``folder`` is ours to remove, or ""."""

    def __init__(self, fd: int, who: int, folder: str) -> None:
        self._fd, self._who, self.folder = fd, b"%d" % who, folder

    @classmethod
    def find(cls, known: cgroup.Hierarchies, own: dict[str, str]) -> Place:
        """A place for the calling thread, which must be the one that moves. Raises OSError where there is none."""
        if known.unified and known.v2 is not None:
            return cls(_open(f"{cgroup.beneath(known.v2, own.get('', '/'))}/cgroup.procs"), os.getpid(), "")
        names = [name for name in (*_PREFERRED, *known.v1) if name in known.v1 and name in own]
        if not names:
            raise FileNotFoundError(2, "no control groups are mounted")
        folder = f"{cgroup.beneath(known.v1[names[0]], own[names[0]])}/{_GROUP}"
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o755)
        return cls(_open(f"{folder}/tasks"), threading.get_native_id(), folder)

    def move(self) -> None:
        """Make the move. Raises OSError."""
        os.write(self._fd, self._who)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CLOEXEC)
