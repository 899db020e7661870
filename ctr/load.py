"""``pyctr load``: images from an archive."""

from __future__ import annotations

import sys

from ctr.errors import Failure
from ctr.flags import BOOL, STRING, Command, flag
from ctr.progress import Display
from ctr.terminal import is_terminal
from pycontainerd.client import images, transfer
from pycontainerd.client.happenings import tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values
    from pycontainerd.wire.messages.types_transfer import Progress

COMMAND = Command(
    "load",
    "[OPTIONS]",
    "Load images from a tar archive or standard input",
    (
        flag("input", "i", STRING, "Read from a tar archive file instead of STDIN"),
        flag("platform", "", STRING, "Load only this platform (os/arch[/variant])"),
        flag("quiet", "q", BOOL, "Suppress the load output"),
    ),
    most=0,
    example="pyctr load -i busybox.tar",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Prints the names that came; exit code 0."""
    path = values.text("input")
    if not path and is_terminal(0):
        raise Failure("requested load from stdin, but stdin is a terminal", "use -i FILE")
    before = {image.name: images.digest_of(image) for image in images.list_all(context.daemon)}
    seen: list[str] = []
    display = Display(sys.stdout, quiet=values.on("quiet") or not is_terminal(1))

    with open(path, "rb") if path else open(0, "rb", closefd=False) as archive:
        try:
            transfer.load(context.daemon, archive, _watch(display, seen), platform=values.text("platform"))
        finally:
            display.finish()
    for image in images.list_all(context.daemon):
        if image.name in seen or before.get(image.name) != images.digest_of(image):
            name = images.familiar(image.name)
            tell(context.daemon, "image", "load", name, name=name)
            print(f"Loaded image: {name}")
    return 0


def _watch(display: Display, seen: list[str]) -> transfer.Report:
    def report(progress: Progress) -> None:
        if progress.event == "saved":
            seen.append(progress.name)
        display.report(progress)

    return report
