"""DNS messages (RFC 1035, EDNS of RFC 6891): reading questions, and writing the answers to them. Pure.

Only as much as a responder needs that knows a few addresses and passes everything else on: one question a message, and
records of the types A, AAAA and PTR. Names are tuples of labels as bytes, in the spelling of the question; ``folded``
makes them comparable. Loaded by the DNS responder: no imports but the cheapest.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Name = tuple[bytes, ...]

A, PTR, AAAA, OPT, ANY = 1, 12, 28, 41, 255
IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)

HEADER = struct.Struct("!HHHHHH")
_FIXED = struct.Struct("!HHIH")
_QR, _AA, _TC, _RD, _RA, _CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0010
_OPCODE = 0x7800
MIN_UDP = 512
"""What every client takes in a datagram, in bytes."""
MAX_UDP = 4096
"""The largest datagram we take and promise to take."""
MAX_NAME = 255
MAX_RECORDS = 200
"""Most records of a query that are looked at in search of its EDNS record."""


class Malformed(ValueError):
    """Raised for bytes that are no query anybody could answer."""


class Query:
    """A question as it came. ``end`` is the offset behind the question section, ``opcode`` 0 for a standard query."""

    __slots__ = ("edns", "end", "flags", "id", "kind", "klass", "name", "opcode", "size")

    def __init__(self, data: bytes | memoryview) -> None:
        """Raises Malformed for answers, for anything but one question, and for what is cut short."""
        if len(data) < HEADER.size:
            raise Malformed("shorter than a header")
        self.id, self.flags, questions, *others = HEADER.unpack_from(data)
        if self.flags & _QR:
            raise Malformed("an answer")
        if questions != 1:
            raise Malformed(f"{questions} questions")
        self.opcode = (self.flags & _OPCODE) >> 11
        self.name, position = read_name(data, HEADER.size)
        if position + 4 > len(data):
            raise Malformed("the question is cut short")
        self.kind, self.klass = struct.unpack_from("!HH", data, position)
        self.end = position + 4
        self.edns = False
        self.size = MIN_UDP
        self._find_edns(data, sum(others))

    def _find_edns(self, data: bytes | memoryview, records: int) -> None:
        """The client's largest datagram, from the OPT record; records that make no sense are ignored."""
        position = self.end
        try:
            for _ in range(min(records, MAX_RECORDS)):
                _, position = read_name(data, position)
                kind, klass, _, length = _FIXED.unpack_from(data, position)
                position += _FIXED.size + length
                if kind == OPT:
                    self.edns, self.size = True, max(MIN_UDP, min(klass, MAX_UDP))
                    return
        except (Malformed, struct.error):
            return


def read_name(data: bytes | memoryview, position: int) -> tuple[Name, int]:
    """A name and the offset behind it. Compression only ever points backwards, so this ends. Raises Malformed."""
    labels: list[bytes] = []
    size, end, limit = 0, 0, position
    while True:
        if position >= len(data):
            raise Malformed("a name is cut short")
        length = data[position]
        if length >= 0xC0:
            if position + 1 >= len(data):
                raise Malformed("a name is cut short")
            end = end or position + 2
            position = (length & 0x3F) << 8 | data[position + 1]
            if position >= limit:
                raise Malformed("a name points forward")
            limit = position
            continue
        if length > 63:
            raise Malformed("an unknown kind of label")
        position += 1
        if not length:
            return tuple(labels), end or position
        if position + length > len(data):
            raise Malformed("a name is cut short")
        size += length + 1
        if size >= MAX_NAME:
            raise Malformed("a name is too long")
        labels.append(bytes(data[position : position + length]))
        position += length


def write_name(name: Name) -> bytes:
    """A name without compression."""
    return b"".join(bytes((len(label),)) + label for label in name) + b"\0"


def folded(name: Name) -> str:
    """The name in lower case with dots between: what names are compared by. Odd bytes become what no name has."""
    return ".".join(label.decode("ascii", "replace").replace(".", "\ufffd") for label in name).lower()


def to_name(text: str) -> Name:
    """A name from its text; labels are cut where DNS ends (63 bytes)."""
    return tuple(label.encode("ascii", "replace")[:63] for label in text.strip(".").split(".") if label)


def addresses_rdata(addresses: Sequence[bytes]) -> list[tuple[int, bytes]]:
    """Type and data of address records: four bytes make an A, sixteen an AAAA."""
    return [(A if len(address) == 4 else AAAA, address) for address in addresses]


def answer(
    query: Query,
    data: bytes | memoryview,
    code: int,
    records: Sequence[tuple[int, bytes]] = (),
    *,
    ttl: int,
    limit: int,
) -> bytes:
    """An authoritative answer of at most ``limit`` bytes: what does not fit is left out, and the message marked cut.

    ``records`` are (type, data) for the name in question. The question is repeated as it came (its spelling matters to
    clients that vary it against forgery), with the flags RD and CD; an EDNS query gets an EDNS answer.
    """
    flags = _QR | _AA | _RA | query.flags & (_OPCODE | _RD | _CD) | code
    opt = struct.pack("!BHHIH", 0, OPT, MAX_UDP, 0, 0) if query.edns else b""
    question = bytes(data[HEADER.size : query.end])
    room = limit - HEADER.size - len(question) - len(opt)
    body: list[bytes] = []
    for kind, value in records:
        record = b"\xc0\x0c" + _FIXED.pack(kind, IN, ttl, len(value)) + value
        if len(record) > room:
            flags |= _TC
            break
        room -= len(record)
        body.append(record)
    head = HEADER.pack(query.id, flags, 1, len(body), 0, int(query.edns))
    return b"".join((head, question, *body, opt))


def failure(query: Query, data: bytes | memoryview, code: int) -> bytes:
    """An answer that has nothing but a code."""
    return answer(query, data, code, ttl=0, limit=MAX_UDP)


def with_id(data: bytes | memoryview, id: int) -> bytes:
    """The same message under another id."""
    return struct.pack("!H", id) + bytes(data[2:])


def code_of(data: bytes | memoryview) -> int:
    """The code in an answer's header."""
    return data[3] & 0x0F


def answers(reply: bytes, query: Query, question: bytes | memoryview, id: int) -> bool:
    """Whether a message from a server is the answer to a question that was sent under ``id``.

    Servers repeat the question, but for errors so early that they could not read it.
    """
    if len(reply) < HEADER.size:
        return False
    got, flags, questions, *_ = HEADER.unpack_from(reply)
    if got != id or not flags & _QR:
        return False
    if not questions:
        return code_of(reply) != NOERROR
    return reply[HEADER.size : query.end].lower() == bytes(question[HEADER.size : query.end]).lower()


def cut(reply: bytes, query: Query) -> bytes:
    """A message that is too long for the client's datagrams: its header and question, marked as cut."""
    _, flags, *_ = HEADER.unpack_from(reply)
    return HEADER.pack(query.id, flags | _TC, 1, 0, 0, 0) + reply[HEADER.size : query.end]


def reversed_address(name: str) -> bytes | None:
    """The address in a folded ``in-addr.arpa`` or ``ip6.arpa`` name; None for any other name."""
    if name.endswith(".in-addr.arpa"):
        parts = name[: -len(".in-addr.arpa")].split(".")
        if len(parts) == 4 and all(part.isdecimal() and len(part) <= 3 and int(part) < 256 for part in parts):
            return bytes(int(part) for part in reversed(parts))
    elif name.endswith(".ip6.arpa"):
        digits = name[: -len(".ip6.arpa")].split(".")
        if len(digits) == 32 and all(len(digit) == 1 and digit in "0123456789abcdef" for digit in digits):
            return bytes.fromhex("".join(reversed(digits)))
    return None
