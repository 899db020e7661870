"""What the service manager is told (sd_notify(3)): datagrams of KEY=VALUE lines on $NOTIFY_SOCKET."""

from __future__ import annotations

import os
import socket
import time


def notify(*lines: str) -> bool:
    """Send the lines; False when there is no service manager to tell, or it cannot be reached."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return False
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as client:
        try:
            client.sendto("\n".join(lines).encode(), address)
        except OSError:
            return False
    return True


def ready(status: str) -> bool:
    """The daemon answers requests."""
    return notify("READY=1", f"STATUS={status}")


def stopping() -> bool:
    """The daemon stops serving; containers run on."""
    return notify("STOPPING=1", "STATUS=Stopping; containers keep running.")


def reloading() -> bool:
    """The configuration is being read again; ``ready`` must follow."""
    return notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
