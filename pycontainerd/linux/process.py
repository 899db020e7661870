"""Starting other programs from the daemon: the one module that may use ``subprocess``.

Never from the shim (which forks by itself and must not import this) and never through a shell. Children inherit only
descriptors that are named here; everything else is closed before the exec. The daemon has threads, so nothing of ours
runs between fork and exec.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

NULL = subprocess.DEVNULL
"""For ``stdin``, ``stdout`` or ``stderr``: /dev/null."""
PIPE = subprocess.PIPE
"""For ``stdin``, ``stdout`` or ``stderr``: a pipe whose other end is on the returned process."""
STDOUT = subprocess.STDOUT
"""For ``stderr``: wherever stdout goes."""
INHERIT = -100
"""For ``stdin``, ``stdout`` or ``stderr``: the daemon's own."""
MAX_OUTPUT = 16 << 20
"""Most bytes of one stream that ``run`` hands back."""

Process = subprocess.Popen
"""A running child: ``pid``, ``poll()``, ``wait(timeout)``, ``stdin``/``stdout``/``stderr`` as unbuffered files."""


class Result:
    """How a program ended. ``code`` is negative for a signal; output is cut at ``MAX_OUTPUT`` bytes a stream."""

    __slots__ = ("argv", "code", "stderr", "stdout")

    def __init__(self, argv: Sequence[str], code: int, stdout: bytes, stderr: bytes) -> None:
        self.argv, self.code, self.stdout, self.stderr = argv, code, stdout, stderr

    @property
    def text(self) -> str:
        """The last line the program complained with (or said), for an error message."""
        for stream in (self.stderr, self.stdout):
            lines = stream.decode("utf-8", "replace").strip().splitlines()
            if lines:
                return lines[-1].strip()
        return f"exit status {self.code}" if self.code >= 0 else f"killed by signal {-self.code}"


class ProgramTimeout(OSError):
    """Raised by ``run`` when the program did not end in time; it and its process group were killed."""


def spawn(
    argv: Sequence[str],
    *,
    fds: Sequence[int] = (),
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int = NULL,
    stdout: int = NULL,
    stderr: int = NULL,
    new_session: bool = False,
    new_group: bool = True,
) -> subprocess.Popen[bytes]:
    """Start ``argv`` and return at once; the caller waits for it.

    ``fds`` stay open in the child *under the numbers they have here*: pass ``str(fd)`` in ``argv``. ``env`` replaces
    the environment; None means ours. The child leads a process group of its own (so that ``kill_group`` reaches its
    children) or, with ``new_session``, a session. Raises OSError: no such program, not executable, no such cwd.
    """
    return subprocess.Popen(
        list(argv),
        bufsize=0,
        stdin=None if stdin == INHERIT else stdin,
        stdout=None if stdout == INHERIT else stdout,
        stderr=None if stderr == INHERIT else stderr,
        close_fds=True,
        pass_fds=tuple(fds),
        cwd=cwd,
        env=None if env is None else dict(env),
        start_new_session=new_session,
        process_group=0 if new_group and not new_session else None,
    )


def run(
    argv: Sequence[str],
    *,
    input: bytes = b"",
    fds: Sequence[int] = (),
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    merge: bool = False,
) -> Result:
    """Run ``argv`` to its end, feeding ``input`` and collecting output; ``merge`` reads stderr into stdout.

    A non-zero exit is not an error here: look at ``code``. Raises ProgramTimeout after ``timeout`` seconds, OSError
    when the program cannot be started. Blocks: call it from a thread when in an event loop.
    """
    process = spawn(
        argv,
        fds=fds,
        cwd=cwd,
        env=env,
        stdin=PIPE if input else NULL,
        stdout=PIPE,
        stderr=STDOUT if merge else PIPE,
    )
    try:
        out, err = process.communicate(input or None, timeout)
    except subprocess.TimeoutExpired:
        kill_group(process)
        raise ProgramTimeout(110, f"no end after {timeout:g} s", argv[0]) from None
    except BaseException:
        kill_group(process)
        raise
    return Result(argv, process.returncode, out[:MAX_OUTPUT], (err or b"")[:MAX_OUTPUT])


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL the child's process group, reap the child and close our ends of its pipes; idempotent."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
