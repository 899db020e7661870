"""``pyctr logs``: what a container wrote, from its json-file logs, rotated and compressed ones included."""

from __future__ import annotations

import time

from ctr.errors import Failure, UsageError
from ctr.flags import BOOL, STRING, Command, flag
from ctr.logfiles import Entry, Follower, read_all, read_tail
from ctr.streams import write_all
from pycontainerd.client import containers, lifecycle, tasks
from pycontainerd.client.times import parse_moment
from pycontainerd.core.errors import Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values
    from pycontainerd.client.containers import Container

COMMAND = Command(
    "logs",
    "[OPTIONS] CONTAINER",
    "Fetch the logs of a container",
    (
        flag("details", "", BOOL, "Show extra details provided to logs"),
        flag("follow", "f", BOOL, "Follow log output"),
        flag("since", "", STRING, "Show logs since a time (2026-01-31T10:00:00Z) or a while ago (42m)"),
        flag("tail", "n", STRING, "Number of lines to show from the end", default="all"),
        flag("timestamps", "t", BOOL, "Show timestamps"),
        flag("until", "", STRING, "Show logs before a time or a while ago"),
    ),
    least=1,
    most=1,
    example="pyctr logs -f --tail=20 web\npyctr logs --since 10m -t web",
)
_CHECK = 0.5
"""Seconds between two looks at whether a followed container still runs."""


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0; standard output of the container on ours, its standard error on ours."""
    container = containers.find(context.daemon, arguments[0])
    path = container.settings.get("LogPath")
    if not path:
        driver = (container.host_config.get("LogConfig") or {}).get("Type") or "unknown"
        raise Failure(f"configured logging driver does not support reading ({driver})")
    now = time.time_ns()
    since = parse_moment(values.text("since"), now) if values.given("since") else 0
    until = parse_moment(values.text("until"), now) if values.given("until") else 0
    tail = _tail(values.text("tail"))
    writer = _Writer(since, until, timestamps=values.on("timestamps"), tty=bool(container.config.get("Tty")))
    follower = Follower(path) if values.on("follow") else None
    entries = read_all(path, follower) if tail < 0 else read_tail(path, tail, follower, since=since, until=until)
    for entry in entries:
        writer.write(entry)
    if follower is not None:
        _follow(context, container, follower, writer)
    return 0


def _tail(text: str) -> int:
    if text == "all" or text.startswith("-"):
        return -1
    if not text.isdigit():
        raise UsageError(f'invalid value for "tail": {text}', "give a number or all")
    return int(text)


class _Writer:
    """Prints entries between two times, each line as it was written."""

    def __init__(self, since: int, until: int, *, timestamps: bool, tty: bool) -> None:
        self._since, self._until, self._timestamps = since, until, timestamps
        self._tty = tty
        self.over = False

    def write(self, entry: Entry) -> None:
        """One entry; ``over`` is set when it came after the end of the range."""
        if (self._since or self._until) and not self._in_range(entry):
            return
        text = f"{entry.time} {entry.log}" if self._timestamps else entry.log
        write_all(2 if entry.stream == "stderr" else 1, text.encode("utf-8", "surrogateescape"))

    def _in_range(self, entry: Entry) -> bool:
        moment = entry.moment
        if self._until and moment > self._until:
            self.over = True
            return False
        return moment >= self._since


def _follow(context: Context, container: Container, follower: Follower, writer: _Writer) -> None:
    """Until the container has ended and its last line is out."""
    live, checked = _look(context, container), time.monotonic()
    while not writer.over:
        some = False
        for entry in follower.fresh():
            some = True
            writer.write(entry)
        if some:
            continue
        if not live:
            return
        follower.wait(_CHECK)
        if time.monotonic() - checked >= _CHECK:
            live, checked = _look(context, container), time.monotonic()


def _look(context: Context, container: Container) -> bool:
    try:
        process = tasks.get(context.daemon, container.id)
    except Unavailable:  # the daemon is being restarted; the log goes on without it
        return True
    return process is not None and process.status in lifecycle.LIVE
