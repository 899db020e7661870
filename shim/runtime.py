"""The OCI runtime: command lines, their errors as one sentence, and which program to take.

The runtime is executed without a shell and never waited for by the loop; it is asked for nothing that the shim knows
by itself (no `state`, no `ps`, and `kill` only where there is no group to signal).
"""

from __future__ import annotations

import os

from pycontainerd.linux.fds import read_file
from pycontainerd.wire.failpoint import hit
from shim import startfifo
from shim.errors import from_oserror, unimplemented, unknown
from shim.jsontext import first, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycontainerd.linux.sealed import Sealed
    from shim.children import Children, Exit
    from shim.loop import Steps

DEFAULT_ROOT = "/run/containerd/runc"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NULL_STDIO = {0: 0, 1: 0, 2: 0}
"""For `fds`: the shim's own descriptor 0 is /dev/null."""

_MESSAGE_LIMIT = 4096
_NOT_EXECUTABLE = ("exists but it is not executable", "is not a regular file")
"""What crun (1.28 for one) finds before execve(2) would, and calls EPERM: clients know exit code 126 by EACCES."""
_TOO_NEW = "unknown version specified"
"""What crun says of a spec whose version it does not know."""
_NOTHING: list[str] = []


class Runtime:
    """One program with the options of one container."""

    __slots__ = ("_children", "_environment", "_program", "binary", "root", "systemd_cgroup")

    def __init__(
        self, children: Children, binary: str, root: str, systemd_cgroup: bool, program: Sealed | None = None
    ) -> None:
        """`program`, a copy, is run in place of `binary` as long as it is one of that very file."""
        self._children = children
        self._program = program
        self.binary = binary
        self.root = root
        self.systemd_cgroup = systemd_cgroup
        libraries = os.environ.get("LD_LIBRARY_PATH")
        self._environment = {"PATH": os.environ.get("PATH") or PATH}
        if libraries:
            self._environment["LD_LIBRARY_PATH"] = libraries

    def call(
        self,
        verb: str,
        arguments: list[str],
        *,
        id: str,
        log: str,
        fds: Mapping[int, int] = NULL_STDIO,
        last: list[str] = _NOTHING,
    ) -> Steps[Exit]:
        """Run `verb` for container `id`, its messages going to the file `log`. Raises RpcError with its complaint.

        The command line is options, verb, `arguments`, id, `last`.
        """
        argv = [*self.command(log), verb, *arguments, id, *last]
        start = _size(log)
        try:
            hit(f"shim.runtime.{verb}")
            copy = self._program
            program = copy.executable if copy is not None and copy.current(self.binary) else ""
            parked = self._children.run(argv, self._environment, fds, program)
        except OSError as error:
            raise from_oserror(f"OCI runtime {verb} failed:", error) from None
        ended: Exit = yield from parked
        if ended.status:
            raise failure(verb, log, start, ended.status)
        return ended

    def start_fifo(self, id: str) -> str:
        """Where a container that was created waits for its start, in crun and runc."""
        return f"{self.state(id)}/{startfifo.NAME}"

    def state(self, id: str) -> str:
        """The directory in which crun and runc keep what they know of a container."""
        return f"{self.root}/{id}"

    def command(self, log: str) -> list[str]:
        """The part of the command line before the verb."""
        argv = [self.binary, "--root", self.root, "--log", log, "--log-format", "json"]
        if self.systemd_cgroup:
            argv.append("--systemd-cgroup")
        return argv


def failure(verb: str, log: str, start: int, status: int) -> Exception:
    """The RpcError for a runtime that ended with `status`, made from what it added to its log since byte `start`."""
    message = last_error(log, start)
    if message.startswith("unknown command"):
        return unimplemented(f"the OCI runtime cannot {verb}")
    if any(words in message for words in _NOT_EXECUTABLE):
        message = message.replace("Operation not permitted", "Permission denied")
    if message == _TOO_NEW:
        message += ": the spec's ociVersion is newer than this runtime; name a newer one, or none to have one chosen"
    if not message:
        message = f"the runtime ended with status {status} and said nothing"
    return unknown(f"OCI runtime {verb} failed: {message}")


def last_error(log: str, start: int = 0) -> str:
    """The last error in a runtime's JSON log as one line, else its last message of any kind; "" when it is silent.

    Entries begin with a brace in the first column, and may go over several lines (as crun's do where it is built
    on json-c, 1.28 for one); what is no JSON is a line of its own.
    """
    try:
        text = read_file(log, 1 << 20)[start:].decode("utf-8", "replace")
    except OSError:
        return ""
    pieces = ("\n" + text).split("\n{")
    plain = pieces[0]
    for number, piece in enumerate(reversed(pieces[1:])):
        entry = first("{" + piece)
        if isinstance(entry, dict) and entry.get("level") in ("error", "fatal", "panic"):
            return one_line(str(entry.get("msg", "")))
        if number == 0:
            plain = piece if entry is None or _followed("{" + piece) else str(entry.get("msg", ""))
    lines = [line for line in plain.splitlines() if line.strip()]
    return one_line(lines[-1]) if lines else ""


def _followed(piece: str) -> bool:
    """Whether anything follows the JSON value that a text begins with."""
    try:
        loads(piece)
    except ValueError:
        return True
    return False


def one_line(text: str) -> str:
    """Text without line breaks, of a bearable length."""
    joined = " ".join(text.split())
    return joined if len(joined) <= _MESSAGE_LIMIT else joined[:_MESSAGE_LIMIT] + "…"


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def find(name: str) -> str:
    """The absolute path of a program. Raises RpcError UNKNOWN naming it."""
    if name.startswith("/"):
        if os.access(name, os.X_OK):
            return name
    else:
        for folder in (os.environ.get("PATH") or PATH).split(":"):
            path = f"{folder}/{name}"
            if "/" not in name and os.access(path, os.X_OK) and os.path.isfile(path):
                return path
    raise unknown(f"OCI runtime {name!r} is not installed here; install it or name another with BinaryName")


def default_binary() -> str:
    """The runtime for create options that name none: crun where it works, else runc. Blocks for some milliseconds.

    Raises RpcError when there is neither.
    """
    try:
        crun = find("crun")
    except Exception:  # noqa: BLE001 - any reason will do to look for the other
        return find("runc")
    if _refuses_hybrid() or not _runs(crun):
        return find("runc")
    return crun


def _refuses_hybrid() -> bool:
    """crun will not work on a hybrid host on which some controller is left to version 2."""
    try:
        controllers = read_file("/sys/fs/cgroup/unified/cgroup.controllers", 4096)
    except OSError:
        return False
    return bool(controllers.strip())


def _runs(binary: str) -> bool:
    actions = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)]
    try:
        pid = os.posix_spawn(binary, [binary, "--version"], {"PATH": PATH}, file_actions=actions)
        return os.waitpid(pid, 0)[1] == 0
    except OSError:
        return False
