"""``pyctr inspect``: everything about containers, images or volumes, in the shape of Docker's JSON."""

from __future__ import annotations

import sys

from ctr.errors import describe
from ctr.flags import BOOL, STRING, Command, flag
from pycontainerd.client import containers, images, inspect, state, supervisor, volumes
from pycontainerd.core.errors import NotFound, PycontainerdError, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ctr.context import Context
    from ctr.flags import Values

    Json = dict[str, Any]

COMMAND = Command(
    "inspect",
    "[OPTIONS] NAME|ID [NAME|ID...]",
    "Show everything about containers, images or volumes",
    (
        flag("format", "f", STRING, "Format output with a Go template (or json)"),
        flag("size", "s", BOOL, "Display total file sizes if the type is container"),
        flag("type", "", STRING, "Only look for this type (container, image or volume)"),
    ),
    least=1,
    example="pyctr inspect -f '{{.State.Status}}' web",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0; 1 when one of them is not there, the others being shown."""
    kind = values.text("type")
    if context.spelling.split()[0] in ("container", "image"):
        kind = context.spelling.split()[0]
    found: list[Json] = []
    failures: list[PycontainerdError] = []
    for name in arguments:
        try:
            found.append(_look_up(context, name, kind))
        except Unavailable:
            raise
        except PycontainerdError as error:
            failures.append(error)
    show(found, values.text("format"))
    for failure in failures:
        print(f"pyctr: {describe(failure)[0]}", file=sys.stderr)
    return 1 if failures else 0


def _look_up(context: Context, name: str, kind: str) -> Json:
    if kind in ("", "container"):
        try:
            container = containers.find(context.daemon, name)
            mounts = volumes.shown(context.daemon, container)
            now = state.of(context.daemon, container)
            if now.health is not None:
                now.health = supervisor.health(context.daemon, container.id)
            return inspect.container(container, now, mounts)
        except NotFound:
            if kind:
                raise
    if kind in ("", "image"):
        image = images.find(context.daemon, name)
        if image is not None:
            return _image(context, image)
        if kind:
            raise NotFound(f"No such image: {name}")
    if kind in ("", "volume"):
        from ctr.volume_inspect import document

        try:
            return document(volumes.get(context.daemon, name))
        except NotFound:
            if kind:
                raise
    raise NotFound(f"No such object: {name}")


def _image(context: Context, image: Any) -> Json:
    from ctr.images import image_size

    try:
        size = image_size(context, images.contents(context.daemon, image), {})
    except PycontainerdError:
        size = 0  # not here for this platform
    return inspect.image(context.daemon, image, size)


def show(found: list[Json], how: str) -> None:
    if not how:
        import json

        print(json.dumps(found, indent=4, ensure_ascii=False))
        return
    from ctr.template import Template

    template = Template("{{json .}}" if how == "json" else how)
    for document in found:
        print(template.execute(document))
