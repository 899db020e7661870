"""``pyctr images``: what can be run without pulling."""

from __future__ import annotations

import time

from ctr.errors import UsageError
from ctr.flags import BOOL, LIST, STRING, Command, flag
from ctr.output import Table, short
from pycontainerd.client import images, snapshots
from pycontainerd.client.times import ns, parse_rfc3339
from pycontainerd.core.errors import PycontainerdError
from pycontainerd.core.units import human_duration, human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ctr.context import Context
    from ctr.flags import Values
    from pycontainerd.wire.messages.images import Image

    Row = dict[str, Any]

COMMAND = Command(
    "images",
    "[OPTIONS] [REPOSITORY[:TAG]]",
    "List images",
    (
        flag("all", "a", BOOL, "Show all images (there are no hidden ones)"),
        flag("digests", "", BOOL, "Show digests"),
        flag("filter", "f", LIST, "Filter output (reference, label, before, since, dangling)", metavar="filter"),
        flag("format", "", STRING, "Format output: table, json, a Go template, or 'table TEMPLATE'"),
        flag("no-trunc", "", BOOL, "Don't truncate output"),
        flag("quiet", "q", BOOL, "Only show image ids"),
    ),
    most=1,
    example="pyctr images\npyctr images --filter reference='busybox:*' -q",
)
COLUMNS = (
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("ID", "IMAGE ID"),
    ("CreatedSince", "CREATED"),
    ("Size", "SIZE"),
)
MORE = (
    ("Digest", "DIGEST"),
    ("CreatedAt", "CREATED AT"),
    ("Containers", "CONTAINERS"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
    ("VirtualSize", "SIZE"),
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0."""
    found = [image for image in images.list_all(context.daemon) if _wanted(image, arguments)]
    found = _filtered(context, found, values.items("filter"))
    found.sort(key=lambda image: -ns(image.created_at))
    if values.on("quiet") and not values.given("format"):
        seen: dict[str, None] = dict.fromkeys(images.digest_of(image) for image in found)
        for digest in seen:
            print(digest if values.on("no-trunc") else short(digest))
        return 0
    sizes: dict[str, int] = {}  # layers are shared, and asked for once
    rows = [_row(context, values, image, sizes) for image in found]
    columns = [*COLUMNS[:2], ("Digest", "DIGEST"), *COLUMNS[2:]] if values.on("digests") else COLUMNS
    Table(columns, MORE).print(rows, values.text("format"))
    return 0


def _wanted(image: Image, arguments: list[str]) -> bool:
    if not arguments:
        return True
    return _fits(image, arguments[0])


def _fits(image: Image, pattern: str) -> bool:
    from fnmatch import fnmatchcase

    repository, tag, digest = images.split_name(image.name)
    if "@" in pattern:
        return pattern in (f"{repository}@{digest}", image.name)
    wanted, colon, wanted_tag = pattern.rpartition(":")
    if not colon or "/" in wanted_tag:
        wanted, wanted_tag = pattern, "*"
    names = (repository, images.split_name(images.expand(repository))[0], image.name.rpartition(":")[0])
    return any(fnmatchcase(name, wanted) for name in names) and fnmatchcase(tag, wanted_tag)


def _filtered(context: Context, found: list[Image], filters: list[str]) -> list[Image]:
    for item in filters:
        key, equals, value = item.partition("=")
        if key == "reference" and equals:
            found = [image for image in found if _fits(image, value)]
        elif key == "dangling" and value in ("true", "false", "1", "0"):
            dangling = value in ("true", "1")
            found = [image for image in found if image.name.startswith(images.NAMELESS) is dangling]
        elif key == "label" and equals:
            found = [image for image in found if _has_label(context, image, value)]
        elif key in ("before", "since") and equals:
            other = images.find(context.daemon, value)
            if other is None:
                raise UsageError(f"No such image: {value}")
            moment, sign = ns(other.created_at), 1 if key == "since" else -1
            found = [image for image in found if (ns(image.created_at) - moment) * sign > 0]
        else:
            raise UsageError(f"invalid filter '{item}'", "there are reference, label, before, since and dangling")
    return found


def _has_label(context: Context, image: Image, text: str) -> bool:
    key, equals, value = text.partition("=")
    try:
        labels = images.contents(context.daemon, image).settings.get("Labels") or {}
    except PycontainerdError:
        return False
    return key in labels and (not equals or labels[key] == value)


def image_size(context: Context, contents: images.Contents, sizes: dict[str, int]) -> int:
    """Bytes of an image's unpacked layers; of the packed ones when it is not unpacked."""
    chain = contents.chain
    for name in chain:
        if name not in sizes:
            sizes[name] = snapshots.size(context.daemon, images.SNAPSHOTTER, name)
    total = sum(sizes[name] for name in chain)
    return total or sum(layer.get("size", 0) for layer in contents.manifest.get("layers") or ())


def _row(context: Context, values: Values, image: Image, sizes: dict[str, int]) -> Row:
    repository, tag, digest = images.split_name(image.name)
    identity = images.digest_of(image)
    created: int | None = None
    size = 0
    try:
        contents = images.contents(context.daemon, image)
        size = image_size(context, contents, sizes)
        if contents.config.get("created"):
            created = parse_rfc3339(contents.config["created"])
    except (PycontainerdError, ValueError):
        pass  # not here for this platform: the row is shown with what is known
    since = human_duration((time.time_ns() - created) / 1e9) + " ago" if created is not None else "N/A"
    return {
        "Repository": repository,
        "Tag": tag or "<none>",
        "ID": identity if values.on("no-trunc") else short(identity),
        "Digest": digest or identity,
        "CreatedSince": since,
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime((created or 0) // 10**9)),
        "Size": human_size(size),
        "Containers": "N/A",
        "SharedSize": "N/A",
        "UniqueSize": "N/A",
        "VirtualSize": human_size(size),
    }
