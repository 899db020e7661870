"""``pyctr logs``: what a container wrote, from its log files, rotated and compressed ones included, or the journal."""

from __future__ import annotations

import time

from ctr.errors import Failure, UsageError
from ctr.flags import BOOL, STRING, Command, flag
from ctr.logfiles import read_all, read_tail
from ctr.logfollow import Follower
from ctr.streams import write_all
from pycontainerd.client import containers, lifecycle, tasks
from pycontainerd.client.times import parse_moment
from pycontainerd.core.errors import Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ctr.context import Context
    from ctr.flags import Values
    from ctr.logentries import Entry
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
    now = time.time_ns()
    since = parse_moment(values.text("since"), now) if values.given("since") else 0
    until = parse_moment(values.text("until"), now) if values.given("until") else 0
    tail = _tail(values.text("tail"))
    writer = _Writer(since, until, timestamps=values.on("timestamps"), details=values.on("details"))
    path = container.settings.get("LogPath")
    if not path:
        _elsewhere(context, container, writer, tail=tail, follow=values.on("follow"))
        return 0
    follower = Follower(path) if values.on("follow") else None
    entries = read_all(path, follower) if tail < 0 else read_tail(path, tail, follower, since=since, until=until)
    for entry in entries:
        writer.write(entry)
    if follower is not None:
        _follow(context, container, follower, writer)
    return 0


def _elsewhere(context: Context, container: Container, writer: _Writer, *, tail: int, follow: bool) -> None:
    """What a driver that writes no file has kept. Raises Failure for one that keeps nothing we can read."""
    driver = (container.host_config.get("LogConfig") or {}).get("Type") or "unknown"
    if driver != "journald":
        hint = "json-file, cri and journald do" if driver == "none" else "its output is read where its log URI leads"
        raise Failure(f"configured logging driver does not support reading ({driver})", hint)
    from ctr import logjournal

    alive = _looker(context, container) if follow else None
    entries = logjournal.read(container.id, tail, since=writer.since, until=writer.until, alive=alive)
    for entry in entries:
        writer.write(entry)


def _looker(context: Context, container: Container) -> Callable[[], bool]:
    return lambda: _look(context, container)


def _tail(text: str) -> int:
    if text == "all" or text.startswith("-"):
        return -1
    if not text.isdigit():
        raise UsageError(f'invalid value for "tail": {text}', "give a number or all")
    return int(text)


class _Writer:
    """Prints entries between two times, each line as it was written."""

    def __init__(self, since: int, until: int, *, timestamps: bool, details: bool) -> None:
        self.since, self.until = since, until
        self._timestamps, self._details = timestamps, details
        self.over = False

    def write(self, entry: Entry) -> None:
        """One entry; ``over`` is set when it came after the end of the range."""
        if (self.since or self.until) and not self._in_range(entry):
            return
        text = f"{entry.details} {entry.log}" if self._details else entry.log
        text = f"{entry.time} {text}" if self._timestamps else text
        write_all(2 if entry.stream == "stderr" else 1, text.encode("utf-8", "surrogateescape"))

    def _in_range(self, entry: Entry) -> bool:
        moment = entry.moment
        if self.until and moment > self.until:
            self.over = True
            return False
        return moment >= self.since


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
