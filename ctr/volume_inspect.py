"""``pyctr volume inspect``, in the shape of Docker's JSON."""

from __future__ import annotations

import sys

from ctr.errors import describe
from ctr.flags import BOOL, STRING, Command, flag
from pycontainerd.client import volumes
from pycontainerd.client.times import ns, rfc3339
from pycontainerd.core.errors import PycontainerdError, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ctr.context import Context
    from ctr.flags import Values
    from pycontainerd.wire.messages.volumes import Volume

    Json = dict[str, Any]

COMMAND = Command(
    "volume inspect",
    "[OPTIONS] VOLUME [VOLUME...]",
    "Show everything about volumes",
    (
        flag("format", "f", STRING, "Format output with a Go template (or json)"),
        flag("size", "s", BOOL, "Measure what the volumes hold, and tell their users"),
    ),
    least=1,
    example="pyctr volume inspect -f '{{.Mountpoint}}' html",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0; 1 when one of them is not there, the others being shown."""
    from ctr.showing import show

    found: list[Json] = []
    failures: list[PycontainerdError] = []
    for name in arguments:
        try:
            found.append(document(volumes.get(context.daemon, name, usage=values.on("size"))))
        except Unavailable:
            raise
        except PycontainerdError as error:
            failures.append(error)
    show(found, values.text("format"))
    for failure in failures:
        print(f"pyctr: {describe(failure)[0]}", file=sys.stderr)
    return 1 if failures else 0


def document(volume: Volume) -> Json:
    """Docker's document of a volume; what was measured and who uses it only when that was asked for."""
    created = rfc3339(ns(volume.created_at))
    result: Json = {
        "CreatedAt": created.partition(".")[0] + "Z" if "." in created else created,
        "Driver": volume.driver,
        "Labels": dict(volume.labels) or None,
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Options": dict(volume.options) or None,
        "Scope": "local",
    }
    if volume.lost:
        result["Status"] = {"Lost": "its directory is gone: restore it, or remove the volume"}
    if volume.usage is not None:
        users = sorted({user.container for user in volume.users})
        result["UsageData"] = {"RefCount": len(users), "Size": volume.usage.size}
        result["UsedBy"] = users
    return result
