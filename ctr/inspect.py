"""``pyctr inspect``: everything about containers, images, networks or volumes, in the shape of Docker's JSON."""

from __future__ import annotations

from ctr.errors import UsageError
from ctr.flags import BOOL, STRING, Command, flag
from ctr.showing import show_all
from pycontainerd.client import containers, images, inspect, networks, state, supervisor, volumes
from pycontainerd.core.errors import NotFound, PycontainerdError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ctr.context import Context
    from ctr.flags import Values

    Json = dict[str, Any]

COMMAND = Command(
    "inspect",
    "[OPTIONS] NAME|ID [NAME|ID...]",
    "Show everything about containers, images, networks or volumes",
    (
        flag("format", "f", STRING, "Format output with a Go template (or json)"),
        flag("size", "s", BOOL, "Display total file sizes if the type is container"),
        flag("type", "", STRING, "Only look for this type (container, image, network or volume)"),
    ),
    least=1,
    example="pyctr inspect -f '{{.State.Status}}' web",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0; 1 when one of them is not there, the others being shown."""
    kind = values.text("type")
    group = context.spelling.split()[0]
    if group in ("container", "image"):
        kind = group
    if kind not in ("", *_KINDS):
        raise UsageError(f'"{kind}" is not a valid value for --type', f"there are {', '.join(_KINDS)}")
    return show_all(arguments, lambda name: _look_up(context, values, name, kind), values.text("format"))


def _look_up(context: Context, values: Values, name: str, kind: str) -> Json:
    for each in [kind] if kind else _KINDS:
        try:
            if each == "container":
                return _container(context, name, sized=values.on("size"))
            return _KINDS[each](context, name)
        except NotFound:
            if kind:
                raise
    raise NotFound(f"No such object: {name}")


def _container(context: Context, name: str, *, sized: bool = False) -> Json:
    container = containers.find(context.daemon, name)
    mounts = volumes.shown(context.daemon, container)
    now = state.of(context.daemon, container)
    if now.health is not None:
        now.health = supervisor.health(context.daemon, container.id)
    sandbox = networks.sandboxes(context.daemon, [container.id]).get(container.id)
    document = inspect.container(container, now, mounts, sandbox)
    if sized:
        from ctr.ps import sizes

        document["SizeRw"], document["SizeRootFs"] = sizes(context, container)
    return document


def _volume(context: Context, name: str) -> Json:
    from ctr.volume_inspect import document

    return document(volumes.get(context.daemon, name))


def _network(context: Context, name: str) -> Json:
    from ctr.network_inspect import look_up

    return look_up(context, name)


def _image(context: Context, name: str) -> Json:
    from ctr.images import image_size

    image = images.find(context.daemon, name)
    if image is None:
        raise NotFound(f"No such image: {name}")
    try:
        size = image_size(context, images.contents(context.daemon, image), {})
    except PycontainerdError:
        size = 0  # not here for this platform
    return inspect.image(context.daemon, image, size)


_KINDS = {"container": _container, "image": _image, "network": _network, "volume": _volume}
