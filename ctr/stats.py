"""``pyctr stats``: what containers use of the machine, once or again and again."""

from __future__ import annotations

import os
import sys
import time

from ctr.flags import BOOL, STRING, Command, flag
from ctr.output import Table, short
from pycontainerd.client import containers, lifecycle, stats, tasks
from pycontainerd.core.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ctr.context import Context
    from ctr.flags import Values
    from pycontainerd.client.containers import Container
    from pycontainerd.client.stats import Sample

    Row = dict[str, Any]

COMMAND = Command(
    "stats",
    "[OPTIONS] [CONTAINER...]",
    "Show a live stream of the resources containers use",
    (
        flag("all", "a", BOOL, "Show all containers (default shows just running)"),
        flag("format", "", STRING, "Format output: table, json, a Go template, or 'table TEMPLATE'"),
        flag("no-stream", "", BOOL, "Print one look and leave"),
        flag("no-trunc", "", BOOL, "Don't truncate output"),
    ),
    example="pyctr stats --no-stream",
)
TABLE = Table(
    (
        ("ID", "CONTAINER ID"),
        ("Name", "NAME"),
        ("CPUPerc", "CPU %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("MemPerc", "MEM %"),
        ("NetIO", "NET I/O"),
        ("BlockIO", "BLOCK I/O"),
        ("PIDs", "PIDS"),
    ),
    (("Container", "CONTAINER"),),
)
_PERIOD = 1.0


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0; with no --no-stream, until ctrl-c."""
    named = [containers.find(context.daemon, name) for name in arguments]
    before = _look(context)
    processes = tasks.list_all(context.daemon)
    once = values.on("no-stream")
    while True:
        time.sleep(_PERIOD)
        shown = named or _all(context, values)
        after = _look(context)
        rows = [_row(item, before.get(item.id), after.get(item.id), values) for item in shown]
        for item, row in zip(shown, rows, strict=True):
            if item.id in processes and row["PIDs"] != "--":
                row["NetIO"] = "{} / {}".format(*map(human_size, stats.network(processes[item.id].pid)))
        text = TABLE.text(rows, values.text("format"))
        if not once and sys.stdout.isatty():
            text = "\x1b[H\x1b[J" + text
        sys.stdout.write(text)
        sys.stdout.flush()
        if once:
            return 0
        before, processes = after, tasks.list_all(context.daemon)


def _all(context: Context, values: Values) -> list[Container]:
    found = sorted(containers.list_all(context.daemon), key=lambda item: -item.created)
    if values.on("all"):
        return found
    processes = tasks.list_all(context.daemon)
    return [item for item in found if item.id in processes and processes[item.id].status in lifecycle.LIVE]


def _look(context: Context) -> dict[str, Sample]:
    result = {}
    for metric in tasks.metrics(context.daemon):
        sample = stats.sample(metric)
        if sample is not None:
            result[metric.id] = sample
    return result


def _host_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _row(container: Container, before: Sample | None, after: Sample | None, values: Values) -> Row:
    row: Row = {
        "ID": container.id if values.on("no-trunc") else short(container.id),
        "Container": container.id if values.on("no-trunc") else short(container.id),
        "Name": container.name,
        "CPUPerc": "--",
        "MemUsage": "-- / --",
        "MemPerc": "--",
        "NetIO": "--",
        "BlockIO": "--",
        "PIDs": "--",
    }
    if after is None:
        return row
    passed = after.at - before.at if before is not None else 0
    share = 100 * (after.cpu - before.cpu) / passed if before is not None and passed > 0 else 0.0
    limit = min(after.limit or stats.UNLIMITED, _host_memory())
    row["CPUPerc"] = f"{share:.2f}%"
    row["MemUsage"] = f"{human_size(after.memory, binary=True)} / {human_size(limit, binary=True)}"
    row["MemPerc"] = f"{100 * after.memory / limit:.2f}%"
    row["NetIO"] = "0B / 0B"
    row["BlockIO"] = f"{human_size(after.read)} / {human_size(after.written)}"
    row["PIDs"] = str(after.pids)
    return row
