"""``pyctr save``: images into an archive that Docker and OCI tools read alike."""

from __future__ import annotations

import os
import sys

from ctr.errors import Failure
from ctr.flags import STRING, Command, flag
from ctr.progress import Display
from ctr.terminal import is_terminal
from pycontainerd.client import images, transfer
from pycontainerd.client.happenings import tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "save",
    "[OPTIONS] IMAGE [IMAGE...]",
    "Save images to a tar archive or standard output",
    (
        flag("output", "o", STRING, "Write to a file, instead of STDOUT"),
        flag("platform", "", STRING, "Save only this platform (os/arch[/variant])"),
    ),
    least=1,
    example="pyctr save -o busybox.tar busybox",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0. A file appears only when it is complete."""
    names = []
    for text in arguments:
        image = images.find(context.daemon, text)
        if image is None:
            raise Failure(f"No such image: {text}", "see pyctr images")
        names.append(image.name)
    path, platform = values.text("output"), values.text("platform")
    if not path:
        if is_terminal(1):
            raise Failure("cowardly refusing to save to a terminal", "use -o FILE or redirect")
        sys.stdout.flush()
        with open(1, "wb", closefd=False) as out:
            transfer.save(context.daemon, names, out, lambda _: None, platform=platform)
        _tell(context, names)
        return 0
    if not os.path.isdir(os.path.dirname(path) or "."):
        raise Failure(f"{path}: No such file or directory", "make its directory first")
    display = Display(sys.stderr)
    part = f"{path}.{os.getpid()}.part"
    try:
        with open(part, "wb") as out:
            transfer.save(context.daemon, names, out, display.report, platform=platform)
        os.replace(part, path)
    except BaseException:
        if os.path.exists(part):
            os.unlink(part)
        raise
    _tell(context, names)
    return 0


def _tell(context: Context, names: list[str]) -> None:
    for name in names:
        tell(context.daemon, "image", "save", images.familiar(name), name=images.familiar(name))
