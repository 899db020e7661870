"""``pyctr version``."""

from __future__ import annotations

import os
import platform
import sys

from ctr.errors import describe
from ctr.flags import BOOL, STRING, Command, flag
from pycontainerd.client import server
from pycontainerd.core.errors import PycontainerdError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "version",
    "[OPTIONS]",
    "Show the version of client and server",
    (
        flag("format", "f", STRING, "Format output with a Go template (or json)"),
        flag("short", "", BOOL, "Print the client's version only"),
    ),
    most=0,
    example="pyctr version --format '{{.Server.Version}}'",
)
VERSION = "0.1.0"


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0; 1 when the server does not answer, the client's part being shown."""
    if values.on("short"):
        print(f"pyctr version {VERSION}")
        return 0
    machine = os.uname()
    client = {
        "Version": VERSION,
        "PythonVersion": platform.python_version(),
        "Os": "linux",
        "Arch": server.images.host_architecture(),
        "Kernel": machine.release,
    }
    failure: PycontainerdError | None = None
    try:
        version, revision = server.version(context.daemon)
        answered = {"Version": version, "Revision": revision, "Address": context.address}
        answered |= {"Os": "linux", "Arch": client["Arch"], "KernelVersion": machine.release}
    except PycontainerdError as error:
        answered, failure = None, error
    document = {"Client": client, "Server": answered}
    if values.given("format"):
        from ctr.template import Template

        how = values.text("format")
        print(Template("{{json .}}" if how == "json" else how).execute(document))
    else:
        _print("Client: pyctr", client)
        if answered is not None:
            print()
            _print("Server: pycontainerd", answered)
    if failure is not None:
        cause, hint = describe(failure)
        print(f"pyctr: {cause}\n  {hint}", file=sys.stderr)
        return 1
    return 0


def _print(title: str, document: dict[str, str]) -> None:
    print(title)
    for key, value in document.items():
        print(f" {key + ':':<16}{value}")
