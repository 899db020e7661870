"""``pyctr volume export``."""

from __future__ import annotations

import os
import sys

from ctr.errors import Failure, UsageError
from ctr.flags import STRING, Command, flag
from ctr.terminal import is_terminal
from pycontainerd.client import volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "volume export",
    "[OPTIONS] VOLUME",
    "Write the content of a volume as a tar archive",
    (
        flag("compress", "", STRING, "Compress with gzip or zstd"),
        flag("output", "o", STRING, "Write to a file, instead of STDOUT"),
    ),
    least=1,
    most=1,
    example="pyctr volume export --compress zstd -o db.tar.zst db",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0. A file appears only when it is complete."""
    path, compression = values.text("output"), values.text("compress")
    if compression not in ("", "gzip", "zstd"):
        raise UsageError(f'invalid argument "{compression}" for "--compress" flag: give gzip or zstd')
    if not path:
        if is_terminal(1):
            raise Failure("cowardly refusing to write an archive to a terminal", "use -o FILE or redirect")
        sys.stdout.flush()
        with open(1, "wb", closefd=False) as out:
            volumes.export(context.daemon, arguments[0], out, compression)
        return 0
    part = f"{path}.{os.getpid()}.part"
    try:
        with open(part, "wb") as out:
            volumes.export(context.daemon, arguments[0], out, compression)
        os.replace(part, path)
    except BaseException:
        if os.path.exists(part):
            os.unlink(part)
        raise
    return 0
