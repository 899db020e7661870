"""``pyctr rmi``: take names off images; what no name is left for is deleted."""

from __future__ import annotations

from ctr.each import each
from ctr.flags import BOOL, Command, flag
from ctr.output import short
from pycontainerd.client import containers, images, tasks
from pycontainerd.client.happenings import tell
from pycontainerd.core.errors import Conflict, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values
    from pycontainerd.client.containers import Container
    from pycontainerd.wire.messages.images import Image

COMMAND = Command(
    "rmi",
    "[OPTIONS] IMAGE [IMAGE...]",
    "Remove one or more images",
    (
        flag("force", "f", BOOL, "Remove images that containers were made of, or that have several names"),
        flag("no-prune", "", BOOL, "Leave the deletion of what is not needed any more to the next collection"),
    ),
    least=1,
    example="pyctr rmi busybox:1.36\npyctr rmi -f $(pyctr images -q)",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0 when all are gone."""
    force, sync = values.on("force"), not values.on("no-prune")
    return each(arguments, lambda text: _remove(context, text, force=force, sync=sync))


def _remove(context: Context, text: str, *, force: bool, sync: bool) -> str:
    daemon = context.daemon
    named = images.get(daemon, images.expand(text)) if not text.startswith("sha256:") else None
    same = images.with_id(daemon, text) if named is None else [named]
    if not same:
        if force:
            return ""
        raise NotFound(f"No such image: {text}")
    digest = images.digest_of(same[0])
    if named is None and len(same) > 1 and not force:
        names = ", ".join(sorted(images.familiar(image.name) for image in same))
        raise Conflict(
            f"unable to delete {short(digest)} (must be forced) - image is referenced in multiple repositories: "
            + names,
            hint="use -f, or remove the names one by one",
        )
    all_names = [image for image in images.list_all(daemon) if images.digest_of(image) == digest]
    gone = len(all_names) == len(same)
    if gone:
        _check_unused(context, same, digest, text, force=force)
    for image in same:
        images.delete(daemon, image.name, sync=sync)
    if gone:
        tell(daemon, "image", "delete", digest, name=images.familiar(same[0].name))
    lines = [f"Untagged: {images.familiar(image.name)}" for image in same]
    return "\n".join([*lines, f"Deleted: {digest}"] if gone else lines)


def _check_unused(context: Context, same: list[Image], digest: str, text: str, *, force: bool) -> None:
    names = {image.name for image in same}
    users = [
        container
        for container in containers.list_all(context.daemon)
        if container.settings.get("Image") == digest or container.record.image in names
    ]
    running = tasks.list_all(context.daemon) if users else {}
    for container in users:
        live = container.id in running and running[container.id].status in (tasks.RUNNING, tasks.PAUSED)
        if live or not force:
            raise _in_use(container, digest, text, live=live)


def _in_use(container: Container, digest: str, text: str, *, live: bool) -> Conflict:
    how, state = ("cannot be forced", "running") if live else ("must be forced", "stopped")
    return Conflict(
        f'unable to remove repository reference "{text}" ({how}) - container {short(container.id)} is using its '
        f"referenced image {short(digest)}",
        hint=f"remove the {state} container {container.name} first" + ("" if live else ", or use -f"),
    )
