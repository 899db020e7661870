"""Control groups, both versions: where a process's groups are, who is in them, and what they count.

On a hybrid host (v1 controllers plus an empty v2 tree) the v1 controllers decide. Nothing here makes a group; OCI
runtimes do. Paths are absolute and below the mounted hierarchies.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MEMBERSHIP = ("pids", "memory", "freezer", "devices", "cpu", "cpuset", "blkio", "name=systemd")
_KILL_ROUNDS = 64


class Hierarchies:
    """Where the hierarchies are mounted: `v1` maps a controller (or `name=x`) to (mount point, root), `v2` is one."""

    __slots__ = ("v1", "v2")

    def __init__(self, v1: dict[str, tuple[str, str]], v2: tuple[str, str] | None) -> None:
        self.v1 = v1
        self.v2 = v2

    @property
    def unified(self) -> bool:
        """Whether v2 is all there is."""
        return self.v2 is not None and not any("=" not in name for name in self.v1)


def hierarchies(mountinfo: str) -> Hierarchies:
    """Find the hierarchies in the text of /proc/self/mountinfo; the first mount of each wins."""
    v1: dict[str, tuple[str, str]] = {}
    v2: tuple[str, str] | None = None
    for line in mountinfo.splitlines():
        if " - cgroup" not in line:
            continue
        left, _, right = line.partition(" - ")
        place, tail = left.split(" "), right.split(" ")
        if len(place) < 5 or len(tail) < 3:
            continue
        where = (_unescape(place[4]), _unescape(place[3]))
        if tail[0] == "cgroup2":
            v2 = v2 or where
        elif tail[0] == "cgroup":
            for option in tail[2].split(","):
                if option not in ("rw", "ro", "xattr", "noprefix", "none", "clone_children"):
                    v1.setdefault(option, where)
    return Hierarchies(v1, v2)


def _unescape(text: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text


def mounted() -> Hierarchies:
    """The hierarchies as this process sees them. Raises OSError when /proc is not there."""
    return hierarchies(_text("/proc/self/mountinfo"))


def own() -> dict[str, str]:
    """The groups of this process, as `membership` has them. Raises OSError when /proc is not there."""
    return membership(_text("/proc/self/cgroup"))


def membership(text: str) -> dict[str, str]:
    """/proc/PID/cgroup as controller (or `name=x`, or "" for v2) to path inside the hierarchy."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            for name in parts[1].split(","):
                found[name] = parts[2]
    return found


class Cgroup:
    """One container's groups. `dirs` maps a v1 controller to its directory, `unified` is the v2 directory or "".

    `whole`: there is no hierarchy of which it is not known where it is mounted.
    """

    __slots__ = ("dirs", "unified", "v2", "whole")

    def __init__(self, dirs: dict[str, str], unified: str, v2: bool, whole: bool = True) -> None:
        self.dirs = dirs
        self.unified = unified
        self.v2 = v2
        self.whole = whole

    @property
    def home(self) -> str:
        """A directory whose cgroup.procs names the container's processes, "" when it has no group of its own."""
        if self.v2:
            return self.unified
        for name in _MEMBERSHIP:
            if name in self.dirs:
                return self.dirs[name]
        return ""

    def pids(self) -> list[int]:
        """Every process in the group and the groups below; empty when the group is gone."""
        found: list[int] = []
        for folder in _tree(self.home) if self.home else ():
            try:
                found.extend(int(line) for line in _text(f"{folder}/cgroup.procs").split())
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):
                    raise
        return found

    def signal(self, number: int, spare: Iterable[int] = ()) -> int:
        """Signal every process but those spared, again while new ones appear; return how many were reached."""
        if number == 9 and self.v2 and self.home and not spare and _put(f"{self.home}/cgroup.kill", "1"):
            return 1
        reached = set(spare)
        before = len(reached)
        for _ in range(_KILL_ROUNDS):
            fresh = [pid for pid in self.pids() if pid > 0 and pid not in reached]
            if not fresh:
                break
            for pid in fresh:
                reached.add(pid)
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
        return len(reached) - before

    def thaw(self) -> None:
        """Let a frozen group run, so that a pending SIGKILL can act (v1; v2 kills frozen processes by itself)."""
        if "freezer" in self.dirs:
            _put(f"{self.dirs['freezer']}/freezer.state", "THAWED")

    def oom_kills(self) -> int:
        """How many processes the kernel has killed in this group for want of memory; 0 when it cannot be known."""
        folder, name = (
            (self.unified, "memory.events") if self.v2 else (self.dirs.get("memory", ""), "memory.oom_control")
        )
        if not folder:
            return 0
        try:
            return flat(f"{folder}/{name}").get("oom_kill", 0)
        except OSError:
            return 0


def locate(pid: int, known: Hierarchies) -> Cgroup:
    """The groups of a process, without those that it shares with the caller (which are not its own).

    Raises OSError when the process is gone.
    """
    theirs = membership(_text(f"/proc/{pid}/cgroup"))
    ours = own()
    dirs = {
        name: beneath(known.v1[name], path)
        for name, path in theirs.items()
        if name in known.v1 and path != ours.get(name) and path != "/"
    }
    unified = ""
    if known.v2 is not None and theirs.get("", "/") not in ("/", ours.get("")):
        unified = beneath(known.v2, theirs[""])
    whole = all(name in known.v1 if name else known.v2 is not None for name in theirs)
    return Cgroup(dirs, unified, known.unified, whole)


def beneath(where: tuple[str, str], path: str) -> str:
    """The directory of the group `path` in a hierarchy mounted at (mount point, root)."""
    point, root = where
    if root != "/" and (path == root or path.startswith(f"{root}/")):
        path = path[len(root) :]
    return point + path if path != "/" else point


def join(folder: str, pid: int = 0) -> None:
    """Move a process (0: this one) into a group. Raises OSError naming the group."""
    fd = os.open(f"{folder}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, b"%d" % pid)
    except OSError as error:
        raise OSError(error.errno, f"join cgroup: {error.strerror}", folder) from None
    finally:
        os.close(fd)


def flat(path: str) -> dict[str, int]:
    """A file of `key value` lines as a dict; lines that are not so are left out. Raises OSError."""
    found: dict[str, int] = {}
    for line in _text(path).splitlines():
        key, _, value = line.rpartition(" ")
        number = value.strip()
        if key and number.isdigit():
            found[key.strip()] = int(number)
    return found


def number(path: str, default: int = 0) -> int:
    """A file of one number; `max` is 2**64-1, what cannot be read or is no number is `default`."""
    try:
        text = _text(path).strip()
    except OSError:
        return default
    if text == "max":
        return (1 << 64) - 1
    return int(text) if text.lstrip("-").isdigit() else default


def lines(path: str) -> list[list[str]]:
    """A file's lines split at spaces, empty when there is no such file."""
    try:
        return [line.split() for line in _text(path).splitlines()]
    except OSError:
        return []


def _tree(folder: str) -> Iterator[str]:
    """A directory and every directory below it; what disappears meanwhile is passed over."""
    todo = [folder]
    while todo:
        here = todo.pop()
        yield here
        try:
            with os.scandir(here) as entries:
                todo.extend(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
        except OSError:
            continue


def _text(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        chunks: list[bytes] = []
        while chunk := os.read(fd, 16384):
            chunks.append(chunk)
        return b"".join(chunks).decode("utf-8", "replace")
    finally:
        os.close(fd)


def _put(path: str, text: str) -> bool:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(fd, text.encode())
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


def join_all(path: str, known: Hierarchies, pid: int = 0) -> None:
    """Move a process (0: this one) into the group `path` of every hierarchy, making it where it is missing. OSError."""
    places = [known.v2] if known.unified else list(known.v1.values())
    for place in dict.fromkeys(places):
        if place is not None:
            folder = f"{place[0]}/{path.strip('/')}"
            os.makedirs(folder, 0o755, exist_ok=True)
            join(folder, pid)
