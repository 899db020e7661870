"""What clients install: ``ctr install`` puts an image's programs and libraries where the plugin ``opt`` says.

The daemon, its shims and the runtimes they run look there first, so a runtime that is installed this way is found by
its name from then on.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pycontainerd.daemon.sockets import prepare_directory

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_SEARCHED = {"bin": "PATH", "lib": "LD_LIBRARY_PATH"}


def directory(root: str) -> str:
    """Where clients install, for a daemon with this root."""
    return f"{root}/opt"


def prepare(root: str, environment: MutableMapping[str, str]) -> None:
    """Make its parts, and have them searched first. Raises PermissionDenied, InvalidArgument."""
    for name, variable in _SEARCHED.items():
        path = f"{directory(root)}/{name}"
        prepare_directory(path, 0o711)
        # An empty part would mean the working directory.
        others = [part for part in environment.get(variable, "").split(os.pathsep) if part and part != path]
        environment[variable] = os.pathsep.join([path, *others])
