"""The `delete` action: clean up after a shim that has died without doing so itself."""

from __future__ import annotations

import os
import time

from pycontainerd.linux.fds import read_file
from pycontainerd.linux.mount import unmount_all
from pycontainerd.wire.messages.google import Timestamp
from pycontainerd.wire.messages.task_v3 import DeleteResponse
from shim import bundle as files
from shim.children import Exit, now
from shim.jsontext import loads
from shim.runtime import DEFAULT_ROOT, PATH, default_binary, find
from shim.sockets import answers
from shim.spec import group_of

KILLED = 137
NO_PID = 0xFFFFFFFF
LIMIT = 4.0
"""Seconds the runtime may take: the daemon allows five in all."""


def delete(bundle: str, namespace: str, id: str) -> bytes:
    """Kill and forget the container, unmount its root, and say how it ended: a serialized DeleteResponse.

    What has been done already is no error. Raises OSError when the root filesystem cannot be unmounted.
    """
    pid = files.read_pid(bundle)
    ended = files.read_exit(bundle)
    if pid:
        _runtime_delete(bundle, namespace, id)
    unmount_all(f"{bundle}/rootfs")
    if not group_of(bundle):
        _remove_socket(bundle)
    ended = ended or Exit(pid, KILLED, now())
    when = Timestamp(seconds=ended.at[0], nanos=ended.at[1])
    return DeleteResponse(pid=pid or NO_PID, exit_status=ended.status, exited_at=when).encode()


def _runtime_delete(bundle: str, namespace: str, id: str) -> None:
    binary, options = files.read_runtime(bundle)
    root = str(options.get("root") or DEFAULT_ROOT)
    argv = [find(binary) if binary else default_binary(), "--root", f"{root}/{namespace}"]
    if options.get("systemd_cgroup"):
        argv.append("--systemd-cgroup")
    argv += ["delete", "--force", id]
    actions = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)]
    environment = {"PATH": os.environ.get("PATH") or PATH}
    child = os.posix_spawn(argv[0], argv, environment, file_actions=actions)
    deadline = time.monotonic() + LIMIT
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if time.monotonic() > deadline:
            os.kill(child, 9)
            os.waitpid(child, 0)
            return
        time.sleep(0.002)


def _remove_socket(bundle: str) -> None:
    """Remove the dead shim's socket, where the bundle tells of it: in an older daemon's file or a newer one's."""
    for name in ("address", "bootstrap.json"):
        try:
            text = read_file(f"{bundle}/{name}", 65536).decode().strip()
            address = str(loads(text)["address"]) if name.endswith(".json") else text
            if not answers(address.removeprefix("unix://")):
                os.unlink(address.removeprefix("unix://"))
        except (OSError, ValueError, KeyError, TypeError):
            continue
