"""Tar headers written: ustar where it suffices, with a PAX header before it where it does not.

No names of users, no access or change times, whole seconds only: the same tree always gives the same bytes, and every
reader there is understands them (OCI image-spec, layer.md).
"""

from __future__ import annotations

from pycontainerd.images.tarheader import BLOCK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

END = bytes(2 * BLOCK)
"""What ends an archive."""

_OCTAL_7 = 0o7777777
_OCTAL_11 = 0o77777777777


def member(
    name: bytes,
    kind: int,
    *,
    mode: int = 0,
    uid: int = 0,
    gid: int = 0,
    size: int = 0,
    mtime: int = 0,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
    xattrs: Mapping[bytes, bytes] | None = None,
) -> bytes:
    """The header of one member (``kind`` as in ``tarreader``); ``mtime`` in seconds. Content and padding come after."""
    records: dict[bytes, bytes] = {}
    prefix, short = _split(name)
    if short is None:
        records[b"path"] = name
        prefix, short = b"", _ascii(name)[:100]
    if len(link) > 100 or not link.isascii():
        records[b"linkpath"] = link
        link = _ascii(link)[:100]
    for key, value, most in ((b"uid", uid, _OCTAL_7), (b"gid", gid, _OCTAL_7), (b"size", size, _OCTAL_11)):
        if not 0 <= value <= most:
            records[key] = str(value).encode()
    if not 0 <= mtime <= _OCTAL_11:
        records[b"mtime"] = str(mtime).encode()
    for key, data in sorted((xattrs or {}).items()):
        records[b"SCHILY.xattr." + key] = data
    numbers = (mode, uid if 0 <= uid <= _OCTAL_7 else 0, gid if 0 <= gid <= _OCTAL_7 else 0)
    sized = (size if size <= _OCTAL_11 else 0, mtime if 0 <= mtime <= _OCTAL_11 else 0)
    block = _block((prefix, short, link), b"%d" % kind, numbers, sized, device)
    return (_extended(name, records) if records else b"") + block


def padding(size: int) -> bytes:
    """What fills content of ``size`` bytes up to a block."""
    return bytes(-size % BLOCK)


def _split(name: bytes) -> tuple[bytes, bytes | None]:
    """(prefix, name) as ustar stores them; name None when it cannot."""
    if not name.isascii():
        return b"", None
    if len(name) <= 100:
        return b"", name
    cut = name.rfind(b"/", 0, min(156, len(name) - 1))
    if cut <= 0 or len(name) - cut - 1 > 100:
        return b"", None
    return name[:cut], name[cut + 1 :]


def _ascii(name: bytes) -> bytes:
    return bytes(byte for byte in name if byte < 128) or b"_"


def _block(
    names: tuple[bytes, bytes, bytes],
    flag: bytes,
    numbers: tuple[int, int, int],
    sized: tuple[int, int],
    device: tuple[int, int],
) -> bytes:
    """One header block: (prefix, name, link), type, (mode, uid, gid), (size, mtime), (major, minor)."""
    prefix, name, link = names
    head = b"%-100b%07o\0%07o\0%07o\0%011o\0%011o\0" % (name.ljust(100, b"\0"), *numbers, *sized)
    tail = b"%b%bustar\x0000%b%07o\0%07o\0%b" % (
        flag,
        link.ljust(100, b"\0"),
        bytes(64),
        *device,
        prefix.ljust(155, b"\0"),
    )
    total = sum(head) + sum(tail) + 8 * 32
    return (head + b"%06o\0 " % total + tail).ljust(BLOCK, b"\0")


def _extended(name: bytes, records: Mapping[bytes, bytes]) -> bytes:
    data = b"".join(_record(key, value) for key, value in sorted(records.items()))
    directory, _, base = name.rstrip(b"/").rpartition(b"/")
    shown = (_ascii(directory) + b"/" if directory else b"") + b"PaxHeaders.0/" + _ascii(base)
    prefix, short = _split(shown)
    block = _block((prefix, short or shown[:100], b""), b"x", (0, 0, 0), (len(data), 0), (0, 0))
    return block + data + padding(len(data))


def _record(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    size = len(body)
    while True:
        total = len(body) + len(str(size))
        if total == size:
            return str(size).encode() + body
        size = total
