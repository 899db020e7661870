"""Tar headers as bytes: numbers, checksums, PAX records and sparse maps (POSIX.1-2001 pax, GNU tar "Basic Tar Format").

Pure functions; every refusal is a TarError. A field is accepted in the forms that Go's archive/tar accepts, since its
writers and readers made nearly all layers there are.
"""

from __future__ import annotations

import re
import zlib

from pycontainerd.images.tarstream import TarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

BLOCK = 512
ZERO = bytes(BLOCK)
MAGIC = b"ustar"
MAX_EXTENSION = 1 << 20
"""Largest extended header or long name, in bytes."""
MAX_SPARSE = 1 << 16
"""Most data runs of a sparse file."""

_DECIMAL = re.compile(rb"-?[0-9]{1,19}(?:\.[0-9]*)?\Z")
_XATTR = b"SCHILY.xattr."


def number(field: bytes) -> int:
    """An octal or base-256 field. Raises TarError."""
    text = field.rstrip(b"\0 ")
    if text.isdigit():
        try:
            return int(text, 8)
        except ValueError:
            raise TarError("a header holds a number that is not octal") from None
    return _odd_number(field)


def _odd_number(field: bytes) -> int:
    if field and field[0] & 0x80:  # GNU base-256: the second bit is the sign, the rest big endian two's complement
        raw = bytes([field[0] & 0x7F]) + field[1:]
        if field[0] & 0x40:
            raw = b"\xff" + field[1:]
        value = int.from_bytes(raw, "big", signed=bool(field[0] & 0x40))
        if not -(1 << 63) <= value < 1 << 63:
            raise TarError("a header holds a number of more than 63 bits")
        return value
    text = field.strip(b"\0 ")
    if not text:
        return 0
    try:
        if text.isdigit():
            return int(text, 8)
    except ValueError:
        pass
    raise TarError("a header holds a number that is not octal")


def checksum_ok(header: bytes) -> bool:
    """Whether the checksum fits, as unsigned bytes or (old tars) as signed ones."""
    stored = number(header[148:156])
    # Adler-32's low half is 1 plus the sum of the bytes modulo 65521: the sum at C speed
    blank = 256 - sum(header[148:156])
    if (zlib.adler32(header) & 0xFFFF) == (stored - blank + 1) % 65521:
        return True
    signed = sum(byte - 256 if byte > 127 else byte for byte in header[:148] + header[156:]) + 256
    return signed == stored


def is_header(block: bytes) -> bool:
    """Whether the block is a header at all: its checksum is a number, and fits."""
    try:
        return checksum_ok(block)
    except TarError:
        return False


def text(field: bytes) -> bytes:
    """A NUL-terminated field."""
    end = field.find(b"\0")
    return field if end < 0 else field[:end]


def full_name(header: bytes) -> bytes:
    """Name and prefix of a ustar or star header (other headers have no prefix)."""
    name = text(header[:100])
    if header[257:263] == b"ustar\0":
        prefix = text(header[345:476] if header[508:512] == b"tar\0" else header[345:500])
        if prefix:
            return prefix + b"/" + name
    return name


def pax_records(data: bytes) -> dict[bytes, bytes]:
    """The records of an extended header; a repeated sparse offset or length is gathered under its key by commas.

    Raises TarError for malformed records.
    """
    records: dict[bytes, bytes] = {}
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 20)
        if space < 0 or not data[position:space].isdigit():
            if not data[position:].strip(b"\0"):
                break  # padding that some writers count in
            raise TarError("a PAX record has no length")
        end = position + int(data[position:space])
        if end > len(data) or end <= space + 1 or data[end - 1] != 10:
            raise TarError("a PAX record has a wrong length")
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or not key:
            raise TarError("a PAX record has no key")
        if key in {b"GNU.sparse.offset", b"GNU.sparse.numbytes"} and key in records:
            value = records[key] + b"," + value
        records[key] = value
        position = end
    return records


def pax_integer(value: bytes) -> int:
    """A decimal record such as size or uid. Raises TarError."""
    if not value.isdigit() or len(value) > 19:
        raise TarError("a PAX record holds a bad number")
    return int(value)


def pax_time(value: bytes) -> int:
    """A decimal time in seconds, as nanoseconds. Raises TarError."""
    if not _DECIMAL.match(value):
        raise TarError("a PAX record holds a bad time")
    seconds, _, fraction = value.partition(b".")
    nanoseconds = int((fraction + b"000000000")[:9])
    whole = int(seconds)
    return whole * 10**9 - nanoseconds if seconds.startswith(b"-") else whole * 10**9 + nanoseconds


def pax_xattrs(records: Mapping[bytes, bytes]) -> dict[bytes, bytes] | None:
    """The extended attributes among the records."""
    found = {key[len(_XATTR) :]: value for key, value in records.items() if key.startswith(_XATTR)}
    return found or None


SparseMap = list[tuple[int, int]]
"""Runs of data: offset in the file, length; in order, not overlapping."""


def sparse_pairs(numbers: list[int], real_size: int) -> SparseMap:
    """Check offsets and lengths. Raises TarError when they overlap, go back or pass the end."""
    if len(numbers) % 2 or len(numbers) > 2 * MAX_SPARSE:
        raise TarError("a sparse map has a bad number of values")
    runs: SparseMap = []
    last = 0
    for offset, length in zip(numbers[::2], numbers[1::2], strict=True):
        if offset < last or length < 0 or offset + length > real_size:
            raise TarError("a sparse map overlaps or passes the end of its file")
        last = offset + length
        if length:
            runs.append((offset, length))
    return runs


def gnu_sparse_values(block: bytes, count: int) -> list[int]:
    """The pairs of a GNU sparse header block; an empty one ends the list."""
    values: list[int] = []
    for index in range(count):
        pair = block[index * 24 : index * 24 + 24]
        if not pair[0]:
            break
        values += [number(pair[:12]), number(pair[12:])]
    return values


def pax_sparse_values(records: Mapping[bytes, bytes]) -> list[int]:
    """The map of PAX sparse formats 0.0 and 0.1. Raises TarError."""
    if b"GNU.sparse.map" in records:
        raw = records[b"GNU.sparse.map"]
        return [pax_integer(part) for part in raw.split(b",")] if raw else []
    offsets = records.get(b"GNU.sparse.offset", b"")
    lengths = records.get(b"GNU.sparse.numbytes", b"")
    first = [pax_integer(part) for part in offsets.split(b",")] if offsets else []
    second = [pax_integer(part) for part in lengths.split(b",")] if lengths else []
    if len(first) != len(second):
        raise TarError("a sparse map has a bad number of values")
    return [value for pair in zip(first, second, strict=True) for value in pair]
