"""What ``run`` and ``create`` have in common: find or pull the image, make the container."""

from __future__ import annotations

import os
import sys

from ctr import container_flags
from ctr.errors import Failure, UsageError
from pycontainerd.client import images
from pycontainerd.client.create import Created, create
from pycontainerd.core.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ctr.context import Context
    from ctr.flags import Values

    Json = dict[str, Any]

POLICIES = ("always", "missing", "never")


def make(context: Context, values: Values, arguments: list[str]) -> Created:
    """The container of a command line whose first argument is the image."""
    if values.text("pull") not in POLICIES:
        raise UsageError(f"invalid pull option: '{values.text('pull')}': must be one of {', '.join(POLICIES)}")
    config = container_flags.config(values, arguments[0], arguments[1:])
    host_config = container_flags.host_config(values)
    _check_attach(values)
    cidfile = values.text("cidfile")
    if cidfile and os.path.lexists(cidfile):
        raise Failure(f"container ID file found, make sure the other container isn't running or delete {cidfile}")
    image = find_image(context, values, arguments[0])
    joined = container_flags.endpoints(values)
    if host_config["NetworkMode"] == "host" and (host_config["PortBindings"] or host_config["PublishAllPorts"]):
        print("WARNING: Published ports are discarded when using host network mode", file=sys.stderr)
    _reach(context, values, config, host_config, joined)
    created = create(context.daemon, image, values.text("name"), config, host_config, joined)
    if cidfile:
        with open(cidfile, "x", encoding="ascii") as file:
            file.write(created.container.id)
    return created


def _reach(context: Context, values: Values, config: Json, host_config: Json, joined: list[Json]) -> None:
    """What ``--link`` and ``--use-api-socket`` add, which is looked up only for who asks."""
    if values.items("link"):
        from ctr import links

        links.add(context.daemon, values.items("link"), host_config, joined)
    if values.on("use-api-socket"):
        from ctr import apisocket

        apisocket.add(context, config, host_config)


def _check_attach(values: Values) -> None:
    for stream in values.items("attach"):
        if stream.lower() not in ("stdin", "stdout", "stderr"):
            raise UsageError(f'invalid argument "{stream}" for "-a, --attach" flag: give stdin, stdout or stderr')


def find_image(context: Context, values: Values, text: str) -> images.Contents:
    """The image by name or id, pulled first when the policy says so. Raises NotFound when it is not to be had."""
    policy, platform = values.text("pull"), values.text("platform")
    if policy != "always":
        image = images.find(context.daemon, text)
        if image is not None:
            try:
                return images.contents(context.daemon, image, platform)
            except NotFound:
                if policy == "never":
                    raise
        elif policy == "never":
            raise NotFound(f"No such image: {text}", hint="--pull never keeps it from being pulled")
    from ctr.pull import fetch
    from pycontainerd.core.reference import normalize

    normalize(text)  # a name that cannot be is no image that might be pulled
    if policy == "missing" and not values.on("quiet"):
        print(
            f"Unable to find image '{images.expand(text).removeprefix('docker.io/library/')}' locally", file=sys.stderr
        )
    name = fetch(context, text, platform=platform, quiet=values.on("quiet"), out=sys.stderr)
    image = images.get(context.daemon, name)
    if image is None:
        raise NotFound(f"No such image: {text}")
    return images.contents(context.daemon, image, platform)
