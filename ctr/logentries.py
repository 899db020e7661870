"""Lines of a log as entries: Docker's json-file format and the kubelet's, told apart by their first byte."""

from __future__ import annotations

from pycontainerd.client.jsontext import loads
from pycontainerd.client.times import parse_rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class Entry:
    """One piece of output: ``log`` with its line end unless it is a part of a long line, ``time`` in RFC 3339.

    ``attributes`` are the labels and variables that the log options chose.
    """

    __slots__ = ("attributes", "log", "stream", "time")

    def __init__(self, log: str, stream: str, time: str, attributes: Mapping[str, str] | None = None) -> None:
        self.log, self.stream, self.time, self.attributes = log, stream, time, attributes or {}

    @property
    def moment(self) -> int:
        """The time in nanoseconds since 1970, 0 when it cannot be read."""
        try:
            return parse_rfc3339(self.time)
        except ValueError:
            return 0

    @property
    def details(self) -> str:
        """The attributes as ``logs --details`` shows them."""
        return ",".join(f"{key}={value}" for key, value in sorted(self.attributes.items()))


def parse_line(line: bytes) -> Entry | None:
    """The entry of one line of the file; None for a damaged one (a crash can cut one off)."""
    if not line.startswith(b"{"):
        return _parse_cri(line)
    try:
        value = loads(line.decode("utf-8", "surrogateescape"))
        return Entry(value["log"], value.get("stream", "stdout"), value.get("time", ""), value.get("attrs"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _parse_cri(line: bytes) -> Entry | None:
    words = line.removesuffix(b"\n").split(b" ", 3)
    if len(words) != 4 or words[1] not in (b"stdout", b"stderr") or words[2][:1] not in (b"F", b"P"):
        return None
    text = words[3] + (b"\n" if words[2][:1] == b"F" else b"")
    return Entry(text.decode("utf-8", "surrogateescape"), words[1].decode(), words[0].decode("ascii", "replace"))


def entries(lines: Iterable[bytes]) -> Iterator[Entry]:
    """The entries of those lines that are whole."""
    for line in lines:
        if line.endswith(b"\n"):
            entry = parse_line(line)
            if entry is not None:
                yield entry


def ended_lines(data: bytes) -> int:
    """How many entries in a piece of a file end a line of output; never more than there are."""
    if data.rstrip(b"\n").rpartition(b"\n")[2].startswith(b"{"):
        return data.count(b'\\n","stream":"')
    return sum(words[2] == b"F" for line in data.split(b"\n") if len(words := line.split(b" ", 3)) == 4)
