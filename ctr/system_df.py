"""``pyctr system df``: what takes room, and what of it could be had back. The sums add up: shared parts count once."""

from __future__ import annotations

import time

from ctr.flags import BOOL, STRING, Command, flag
from ctr.output import Table, ellipsis, short
from pycontainerd.client import images, state, usage, volumes
from pycontainerd.client.times import ns
from pycontainerd.core.units import human_duration, human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ctr.context import Context
    from ctr.flags import Values
    from pycontainerd.client.state import State
    from pycontainerd.wire.messages.volumes import Volume

    Row = dict[str, Any]

COMMAND = Command(
    "system df",
    "[OPTIONS]",
    "Show disk usage",
    (
        flag("format", "", STRING, "Format output: table, json, a Go template, or 'table TEMPLATE'"),
        flag("verbose", "v", BOOL, "Show detailed information on space usage"),
    ),
    most=0,
    example="pyctr system df -v",
    notes="Images: packed blobs and unpacked layers. Containers: their own layer and logs.",
)
TABLE = Table(
    (
        ("Type", "TYPE"),
        ("TotalCount", "TOTAL"),
        ("Active", "ACTIVE"),
        ("Size", "SIZE"),
        ("Reclaimable", "RECLAIMABLE"),
    )
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0."""
    found = usage.Usage(context.daemon)
    states = state.of_all(context.daemon, [container for container, _ in found.containers])
    kept = volumes.list_all(context.daemon, usage=True)
    if values.on("verbose") and not values.given("format"):
        _verbose(found, states, kept)
        return 0
    TABLE.print([_images(found), _containers(found, states), _volumes(kept), _cache()], values.text("format"))
    return 0


def _line(kind: str, counts: tuple[int, int], size: int, free: int) -> Row:
    share = f" ({100 * free // size}%)" if size else ""
    return {
        "Type": kind,
        "TotalCount": str(counts[0]),
        "Active": str(counts[1]),
        "Size": human_size(size),
        "Reclaimable": human_size(free) + share,
    }


def _images(found: usage.Usage) -> Row:
    used = [use for use in found.images.values() if use.containers]
    counts = (len(found.images), len(used))
    return _line("Images", counts, found.total, found.total - found.held(used))


def _containers(found: usage.Usage, states: dict[str, State]) -> Row:
    up = [container for container, _ in found.containers if states[container.id].running]
    free = sum(size for container, size in found.containers if not states[container.id].running)
    return _line("Containers", (len(found.containers), len(up)), sum(size for _, size in found.containers), free)


def _size(volume: Volume) -> int:
    return volume.usage.size if volume.usage is not None else 0


def _volumes(kept: list[Volume]) -> Row:
    used = [volume for volume in kept if volume.users]
    free = sum(_size(volume) for volume in kept if not volume.users)
    return _line("Local Volumes", (len(kept), len(used)), sum(map(_size, kept)), free)


def _cache() -> Row:
    return _line("Build Cache", (0, 0), 0, 0) | {"Reclaimable": "0B"}


def _verbose(found: usage.Usage, states: dict[str, State], kept: list[Volume]) -> None:
    now = time.time_ns()
    print("Images space usage:\n")
    _image_table(found, now)
    print("\nContainers space usage:\n")
    columns = ("ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names")
    heads = ("CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS", "NAMES")
    rows = []
    for container, size in sorted(found.containers, key=lambda item: -item[0].created):
        words = [*(container.config.get("Entrypoint") or ()), *(container.config.get("Cmd") or ())]
        rows.append(
            {
                "ID": short(container.id),
                "Image": container.config.get("Image") or container.record.image,
                "Command": f'"{ellipsis(" ".join(words), 20)}"',
                "LocalVolumes": str(sum(entry["type"] == "volume" for entry in volumes.entries(container))),
                "Size": human_size(size),
                "RunningFor": human_duration((now - container.created) / 1e9) + " ago",
                "Status": states[container.id].sentence(now),
                "Names": container.name,
            }
        )
    Table(tuple(zip(columns, heads, strict=True))).print(rows)
    print("\nLocal Volumes space usage:\n")
    sizes = [
        {"Name": volume.name, "Links": str(len(volume.users)), "Size": human_size(_size(volume))} for volume in kept
    ]
    Table((("Name", "VOLUME NAME"), ("Links", "LINKS"), ("Size", "SIZE"))).print(sizes)
    print("\nBuild cache usage: 0B\n")


def _image_table(found: usage.Usage, now: int) -> None:
    columns = ("Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers")
    heads = ("REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS")
    rows = []
    for use in found.images.values():
        size, unique = found.held([use]), found.unique(use)
        for image in use.names:
            repository, tag, _ = images.split_name(image.name)
            rows.append(
                {
                    "Repository": repository,
                    "Tag": tag or "<none>",
                    "ID": short(use.digest),
                    "CreatedSince": human_duration((now - ns(image.created_at)) / 1e9) + " ago",
                    "Size": human_size(size),
                    "SharedSize": human_size(size - unique),
                    "UniqueSize": human_size(unique),
                    "Containers": str(use.containers),
                }
            )
    Table(tuple(zip(columns, heads, strict=True))).print(rows)
