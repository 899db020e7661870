"""Reading a container's output back from the systemd journal, by journalctl."""

from __future__ import annotations

import os
import select

from ctr.errors import Failure
from ctr.logentries import Entry
from pycontainerd.client.jsontext import loads
from pycontainerd.client.times import rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Looker = Callable[[], bool]

_PROGRAM = "journalctl"
_BLOCK = 1 << 18
_CHECK = 0.5
"""Seconds of silence after which a followed container is looked at; once more, and an ended one's log is over."""
_STDERR = "3"
_TERM = 15
_KNOWN = ("CONTAINER_ID", "CONTAINER_ID_FULL", "CONTAINER_NAME", "CONTAINER_TAG", "IMAGE_NAME", "MESSAGE", "PRIORITY")
_OWN = ("CONTAINER_PARTIAL_", "SYSLOG_")


def read(id: str, tail: int, *, since: int = 0, until: int = 0, alive: Looker | None = None) -> Iterator[Entry]:
    """The entries of a container, the oldest first; with ``alive``, also those to come, as long as it answers True.

    ``tail`` is the number of entries, -1 for all; times are nanoseconds since 1970, 0 for none. Raises Failure when
    the journal cannot be read.
    """
    pid, fd = _start(_command(id, tail, since, until, follow=alive is not None))
    ended = False
    try:
        for line in _lines(fd, alive):
            entry = parse(line)
            if entry is not None:
                yield entry
        ended = alive is None
    finally:
        os.close(fd)
        if not ended:
            os.kill(pid, _TERM)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code not in (0, -_TERM):
        raise Failure(f"{_PROGRAM} ended with exit code {code}", "may you read the system's journal?")


def _start(command: list[str]) -> tuple[int, int]:
    """The program's pid and what it prints; its complaints go where ours do. Raises Failure when there is none."""
    read, write = os.pipe2(os.O_CLOEXEC)
    try:
        actions = [(os.POSIX_SPAWN_DUP2, write, 1), (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
        return os.posix_spawnp(_PROGRAM, command, os.environ, file_actions=actions), read
    except FileNotFoundError:
        os.close(read)
        hint = f"install {_PROGRAM}, which comes with systemd"
        raise Failure(f"the output is in the journal, and there is no {_PROGRAM} to read it", hint) from None
    finally:
        os.close(write)


def _command(id: str, tail: int, since: int, until: int, *, follow: bool) -> list[str]:
    command = [_PROGRAM, "--output=json", "--all", "--no-pager", "--quiet"]
    if follow:
        command.append("--follow")
    command.append(f"--lines={tail}" if tail >= 0 else "--no-tail")
    for name, moment in (("since", since), ("until", until)):
        if moment:
            seconds, micros = divmod(moment // 1000, 10**6)
            command.append(f"--{name}=@{seconds}.{micros:06d}")
    return [*command, f"CONTAINER_ID_FULL={id}"]


def _lines(fd: int, alive: Looker | None) -> Iterator[bytes]:
    """Lines of journalctl's answer, to its end, or until a followed container has ended and nothing comes any more."""
    rest = b""
    ended = False
    while True:
        if alive is not None and not select.select([fd], [], [], _CHECK)[0]:
            if ended:
                return
            ended = not alive()
            continue
        data = os.read(fd, _BLOCK)
        if not data:
            return
        ended = False
        *lines, rest = (rest + data).split(b"\n")
        yield from lines


def parse(line: bytes) -> Entry | None:
    """The entry of one line of ``journalctl --output=json``; None for what is none.

    A message that is no UTF-8 comes as a list of bytes.
    """
    try:
        value = loads(line.decode("utf-8", "surrogateescape"))
        text = _text(value["MESSAGE"])
        moment = int(value["__REALTIME_TIMESTAMP"]) * 1000
    except (ValueError, KeyError, TypeError):
        return None
    end = "" if value.get("CONTAINER_PARTIAL_MESSAGE") == "true" else "\n"
    stream = "stderr" if value.get("PRIORITY") == _STDERR else "stdout"
    extra = {key: _text(item) for key, item in value.items() if _is_extra(key)}
    return Entry(text + end, stream, rfc3339(moment), extra)


def _text(value: object) -> str:
    if isinstance(value, list):
        return bytes(item for item in value if isinstance(item, int)).decode("utf-8", "surrogateescape")
    return str(value)


def _is_extra(key: str) -> bool:
    return not key.startswith(("_", *_OWN)) and key not in _KNOWN
