"""Where the streams of a container's first process go, from what the user asked for (``core.settings``).

Light on purpose: the client's common verbs stand on it as the daemon's supervisor does.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

LOG_DEFAULTS = {"max-size": "10m", "max-file": "5", "compress": "true"}
"""Logs are bounded unless somebody says otherwise (Docker's own default has no bound)."""
_TO_SHIM = ("max-size", "max-file", "compress")
_SAFE = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_-.~,"


class Streams:
    """URIs for the shim; empty for none."""

    __slots__ = ("stderr", "stdin", "stdout", "terminal")

    def __init__(self, stdin: str, stdout: str, stderr: str, terminal: bool) -> None:
        self.stdin, self.stdout, self.stderr, self.terminal = stdin, stdout, stderr, terminal


def streams_of(settings: Mapping[str, Any]) -> Streams:
    """To the log driver, and to whoever attaches."""
    config, log = settings["Config"], settings["HostConfig"].get("LogConfig") or {}
    path = settings.get("LogPath")
    if path:
        options = {**LOG_DEFAULTS, **(log.get("Config") or {})}
        if options["max-file"] == "1":
            options.pop("compress")
        known = "&".join(f"{key}={quote(str(value))}" for key, value in options.items() if key in _TO_SHIM)
        output = f"json-file://{quote(path)}?{known}"
    else:
        output = "none:"
    terminal = bool(config.get("Tty"))
    return Streams("attach:" if config.get("OpenStdin") else "", output, "" if terminal else output, terminal)


def quote(text: str) -> str:
    """Text as part of a URI."""
    return "".join(char if char in _SAFE else "".join(f"%{byte:02X}" for byte in char.encode()) for char in text)
