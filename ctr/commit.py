"""``pyctr commit``: an image of what a container has become."""

from __future__ import annotations

from ctr.flags import BOOL, LIST, STRING, Command, flag
from pycontainerd.client import building, containers, images, lifecycle, tasks
from pycontainerd.client.happenings import tell
from pycontainerd.core import imagechange
from pycontainerd.core.reference import normalize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ctr.context import Context
    from ctr.flags import Values
    from pycontainerd.client.containers import Container

    Json = dict[str, Any]

COMMAND = Command(
    "commit",
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    "Create a new image from a container's changes",
    (
        flag("author", "a", STRING, 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")'),
        flag("change", "c", LIST, "Apply a Dockerfile instruction to the created image"),
        flag("message", "m", STRING, "Commit message"),
        flag("pause", "p", BOOL, "Pause the container during commit", default="true"),
    ),
    least=1,
    most=2,
    example='pyctr commit -c \'CMD ["httpd", "-f"]\' web web:tuned',
    notes="Volumes and other mounts are not part of the image.",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Prints the new image's id; exit code 0."""
    daemon = context.daemon
    container = containers.find(daemon, arguments[0])
    name = str(normalize(arguments[1])) if len(arguments) > 1 else ""
    config = image_config(container)
    for text in values.items("change"):
        imagechange.apply(config, text)
    by = " ".join([*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())])
    story = building.Story(author=values.text("author"), comment=values.text("message"), by=by)
    process = tasks.get(daemon, container.id)
    pausing = values.on("pause") and process is not None and process.status == tasks.RUNNING
    if pausing:
        tasks.pause(daemon, container.id)
    try:
        digest = building.commit(daemon, container, name, config, story)
    finally:
        if pausing:
            _resume(context, container)
    about = {"comment": values.text("message"), "imageID": digest, "imageRef": images.familiar(name)}
    tell(daemon, "container", "commit", container.id, **about)
    print(digest)
    return 0


def _resume(context: Context, container: Container) -> None:
    process = tasks.get(context.daemon, container.id)
    if process is not None and process.status in lifecycle.LIVE:
        tasks.resume(context.daemon, container.id)


_KEPT = (
    "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal", "Healthcheck",
    "OnBuild", "Shell",
)  # fmt: skip


def image_config(container: Container) -> Json:
    """What of a container's Config is an image's."""
    return {key: container.config[key] for key in _KEPT if container.config.get(key)}
