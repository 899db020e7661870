"""The standard way to a shim: a program that other daemons run with the actions `start` and `delete`, or `-info`, `-v`.

It speaks as its caller does: a BootstrapResult to one that sent BootstrapParams (containerd 2.3), the bare address to
every older one, which takes it for task API version 2. Those since 1.7 would read the version from JSON, but nothing
tells 2.1, which takes 3, from 1.7, which refuses it: both say MAX_SHIM_VERSION=2. Nothing else may go to standard
output or standard error during a start.
"""

from __future__ import annotations

import os
import sys

from pycontainerd.linux.fds import read_some, write_all
from pycontainerd.wire.codec import DecodeError
from pycontainerd.wire.codes import RpcError
from pycontainerd.wire.messages.bootstrap import BootstrapParams, BootstrapResult
from shim.cleanup import delete
from shim.info import info
from shim.launch import launch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "containerd-shim-pycontainerd-v1"
VERSION = "0.1.0"
_VALUED = ("namespace", "address", "publish-binary", "id", "bundle", "socket", "debug-socket")
_SWITCHES = ("debug", "info", "v", "version")
_STDIN_LIMIT = 4 << 20


class Flags:
    """The command line: Go's style, one or two dashes, `=` or a further word for the value."""

    __slots__ = ("action", "switches", "values")

    def __init__(self, arguments: Sequence[str]) -> None:
        """Raises ValueError for what is not understood."""
        self.values: dict[str, str] = {}
        self.switches: set[str] = set()
        self.action = ""
        words = list(arguments)
        while words:
            word = words.pop(0)
            if not word.startswith("-"):
                self.action = word
                continue
            name, equals, value = word.lstrip("-").partition("=")
            if name in _SWITCHES:
                if value not in ("false", "0"):
                    self.switches.add(name)
            elif name in _VALUED:
                if not equals and not words:
                    raise ValueError(f"flag -{name} needs a value")
                self.values[name] = value if equals else words.pop(0)
            else:
                raise ValueError(f"unknown flag {word}")

    def get(self, name: str) -> str:
        """A value, "" when it was not given."""
        return self.values.get(name, "")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; the exit code."""
    try:
        flags = Flags(sys.argv[1:] if arguments is None else arguments)
        return _run(flags)
    except RpcError as error:
        return _complain(error.message)
    except OSError as error:
        return _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except ValueError as error:
        return _complain(str(error))


def _complain(text: str) -> int:
    write_all(2, f"{NAME}: {text}\n".encode())
    return 1


def _run(flags: Flags) -> int:
    if flags.switches & {"v", "version"}:
        write_all(1, f"{NAME}:\n  Version:  {VERSION}\n  Python:   {sys.version.split()[0]}\n".encode())
        return 0
    if "info" in flags.switches:
        write_all(1, info(NAME, VERSION, _stdin()))
        return 0
    if not flags.get("namespace"):
        raise ValueError("the namespace is missing: give it with -namespace")
    if not flags.get("id"):
        raise ValueError("the container's id is missing: give it with -id")
    if flags.action == "start":
        write_all(1, _start(flags))
        return 0
    if flags.action == "delete":
        write_all(1, delete(flags.get("bundle") or _sibling(flags.get("id")), flags.get("namespace"), flags.get("id")))
        return 0
    raise ValueError(f"unknown action {flags.action!r}; there are start and delete")


def _sibling(id: str) -> str:
    """The bundle of a container beside the working directory, which is some bundle."""
    return f"{os.path.dirname(os.getcwd())}/{id}"


def _start(flags: Flags) -> bytes:
    params = bootstrap_params(_stdin(), flags.get("id"))
    debug = "debug" in flags.switches
    address = launch(flags.get("namespace"), flags.get("id"), os.getcwd(), flags.get("address"), debug, params)
    if params is not None:
        return BootstrapResult(version=3, address=address, protocol="ttrpc").encode()
    return address.encode()


def bootstrap_params(data: bytes, id: str) -> BootstrapParams | None:
    """The parameters of a newer daemon; None for the runtime options of an older one, or nothing.

    Options are an Any, whose two fields look like the first two of BootstrapParams: then the type's name stands where
    the id should be. The id of the command line is the truth.
    """
    if not data:
        return None
    try:
        params = BootstrapParams.decode(data)
    except DecodeError:
        return None
    return params if params.instance_id == id else None


def _stdin() -> bytes:
    """What the daemon sends; nothing when it has left standard input open on a terminal."""
    if os.isatty(0):
        return b""
    chunks: list[bytes] = []
    size = 0
    while size < _STDIN_LIMIT:
        try:
            chunk = read_some(0, 65536)
        except OSError:
            break
        if not chunk:
            break
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)
