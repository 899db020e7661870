"""``pyctr history``: how an image was made, the newest step first."""

from __future__ import annotations

import time

from ctr.flags import BOOL, STRING, Command, flag
from ctr.output import Table, ellipsis, short
from pycontainerd.client import images, snapshots
from pycontainerd.client.times import parse_rfc3339
from pycontainerd.core.errors import NotFound
from pycontainerd.core.units import human_duration, human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ctr.context import Context
    from ctr.flags import Values

    Row = dict[str, Any]

COMMAND = Command(
    "history",
    "[OPTIONS] IMAGE",
    "Show the history of an image",
    (
        flag("format", "", STRING, "Format output: table, json, a Go template, or 'table TEMPLATE'"),
        flag("human", "H", BOOL, "Print sizes and dates in human readable format", default="true"),
        flag("no-trunc", "", BOOL, "Don't truncate output"),
        flag("platform", "", STRING, "Show the image of this platform (os/arch[/variant])"),
        flag("quiet", "q", BOOL, "Only show image IDs"),
    ),
    least=1,
    most=1,
    example="pyctr history --no-trunc busybox",
)
TABLE = Table(
    (
        ("ID", "IMAGE"),
        ("CreatedSince", "CREATED"),
        ("CreatedBy", "CREATED BY"),
        ("Size", "SIZE"),
        ("Comment", "COMMENT"),
    ),
    (("CreatedAt", "CREATED AT"),),
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0."""
    image = images.find(context.daemon, arguments[0])
    if image is None:
        raise NotFound(f"No such image: {arguments[0]}")
    contents = images.contents(context.daemon, image, values.text("platform"))
    rows = _rows(context, values, contents)
    if values.on("quiet") and not values.given("format"):
        for row in rows:
            print(row["ID"])
        return 0
    TABLE.print(rows, values.text("format"))
    return 0


def _rows(context: Context, values: Values, contents: images.Contents) -> list[Row]:
    """A row a step; steps that made no layer weigh nothing, and layers without a step get one."""
    steps = list(contents.config.get("history") or ())
    filled = [step for step in steps if not step.get("empty_layer")]
    steps += [{} for _ in range(len(contents.chain) - len(filled))]
    layers = iter(contents.chain)
    rows: list[Row] = []
    for step in steps:
        name = "" if step.get("empty_layer") else next(layers, "")
        size = snapshots.size(context.daemon, images.SNAPSHOTTER, name) if name else 0
        rows.append(_row(values, step, size))
    rows.reverse()
    if rows:
        rows[0]["ID"] = contents.digest if values.on("no-trunc") else short(contents.digest)
    return rows


def _row(values: Values, step: dict[str, Any], size: int) -> Row:
    known = bool(step.get("created"))
    created = parse_rfc3339(step["created"]) if known else 0
    at = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(created // 10**9))
    at = at[:-5] + "Z" if at.endswith("+0000") else at[:-2] + ":" + at[-2:]
    human, by = values.on("human"), step.get("created_by") or ""
    since = human_duration((time.time_ns() - created) / 1e9) + " ago" if known else "N/A"
    return {
        "ID": "<missing>",
        "CreatedSince": since if human else at,
        "CreatedAt": at,
        "CreatedBy": by if values.on("no-trunc") else ellipsis(by.replace("\t", " "), 45),
        "Size": human_size(size) if human else str(size),
        "Comment": step.get("comment") or "",
    }
