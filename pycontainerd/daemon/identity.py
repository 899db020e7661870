"""Who this daemon is: a UUID kept under the root, its pid and its pid namespace."""

from __future__ import annotations

import os
import uuid

from pycontainerd.services.introspection import Server

PLUGIN = "io.containerd.grpc.v1.introspection"


def identify(root: str) -> Server:
    """The identity, made on the first start of this root and durable from then on."""
    directory = f"{root}/{PLUGIN}"
    os.makedirs(directory, mode=0o711, exist_ok=True)
    return Server(_uuid(f"{directory}/uuid"), os.getpid(), os.stat("/proc/self/ns/pid").st_ino)


def _uuid(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return str(uuid.UUID(file.read().strip()))
    except (FileNotFoundError, ValueError):
        pass
    made = str(uuid.uuid4())
    fresh = f"{path}.new"
    with open(fresh, "w", encoding="ascii") as file:
        file.write(made)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
    return made
