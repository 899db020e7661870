"""Overlay networks: what the driver has to look up on this host. For the daemon, so nothing of netlink is imported."""

from __future__ import annotations

import socket

from pycontainerd.linux import fds

_KEY_LIMIT = 4096
_DISCARD = 9


def read_key(path: str) -> str:
    """The contents of a key file. Raises OSError."""
    return fds.read_file(path, _KEY_LIMIT).decode("utf-8", "replace")


def route_from(peer: str) -> str:
    """This host's address towards another; nothing is sent. Raises OSError."""
    with socket.socket(socket.AF_INET6 if ":" in peer else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((peer, _DISCARD))
        return str(sock.getsockname()[0])
