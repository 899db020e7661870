"""The log drivers: which sink writes a stream's log, for each scheme that names one."""

from __future__ import annotations

from shim.errors import invalid
from shim.stdio.crilines import MAX_LINE, CriEncoder
from shim.stdio.journald import Entries, JournalSink
from shim.stdio.jsonlines import Encoder
from shim.stdio.rotating import RotatingFile, attributes_of, options_of
from shim.stdio.sinks import Buffer, LogSink, Sink
from shim.stdio.uri import Target, count_of, size_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from shim.children import Children
    from shim.log import Log
    from shim.loop import Loop

DRIVERS = ("json-file", "cri", "journald")
BUFFER = 1 << 20
"""Bytes held for a journal that is full, under the non-blocking policy, unless the URI says otherwise."""


def log_sinks(target: Target, streams: Sequence[str], loop: Loop, children: Children, log: Log) -> dict[str, Sink]:
    """A sink for each stream. Raises RpcError for an option that cannot be used, OSError for a log that cannot be.

    `mode=non-blocking` with `max-buffer-size` puts a buffer before the journal. A file takes everything at once (what
    a full disk refuses is counted), so there the modes do not differ.
    """
    limit = _buffer_of(target)
    if target.scheme == "journald":
        attributes = attributes_of(target)
        sinks: dict[str, Sink] = {}
        try:
            for name in streams:
                sink = JournalSink(loop, log, target.path, Entries(name, attributes))
                sinks[name] = Buffer(sink, limit) if limit else sink
        except OSError:
            for made in sinks.values():
                made.abandon()
            raise
        return sinks
    options = options_of(target)
    line = _line_of(target)
    file = RotatingFile(target.path, options, children, log)
    if target.scheme == "cri":
        return {name: LogSink(file, CriEncoder(name, line)) for name in streams}
    return {name: LogSink(file, Encoder(name, options.attributes)) for name in streams}


def _buffer_of(target: Target) -> int:
    """The size of the buffer, 0 for the blocking policy."""
    mode = target.get("mode", "blocking")
    if mode not in ("blocking", "non-blocking"):
        raise invalid(f"log option mode={mode!r} must be blocking or non-blocking")
    size = size_of(target.get("max-buffer-size", str(BUFFER)), "max-buffer-size")
    if size < 0:
        raise invalid("log option max-buffer-size must have a limit, such as 4m")
    return size if mode == "non-blocking" else 0


def _line_of(target: Target) -> int:
    """The longest line of a `cri:` log, in bytes; -1 for the longest there can be."""
    text = target.get("max-line", str(MAX_LINE))
    return -1 if text == "-1" else count_of(text, "max-line")
