"""Connection tracking: forgetting translations that lead to what is gone, over ctnetlink. Only for the agent.

TCP connections die with their container. A UDP flow has no end: as long as its sender goes on, packets follow the
translation its first packet met, past every later change of the maps.

The table may be large, hence no library: of each entry only the few bytes are looked at that decide.
(Linux: include/uapi/linux/netfilter/nfnetlink_conntrack.h.)
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NETLINK_NETFILTER = 12
_GET, _DELETE = 0x0101, 0x0102  # NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_DELETE
_REQUEST, _ACK, _DUMP = 0x01, 0x04, 0x300
_ERROR, _DONE = 2, 3
_ORIGINAL, _REPLY = 1, 2  # CTA_TUPLE_ORIG, CTA_TUPLE_REPLY
_IP, _PROTO = 1, 2  # CTA_TUPLE_IP, CTA_TUPLE_PROTO
_SOURCES = (1, 3)  # CTA_IP_V4_SRC, CTA_IP_V6_SRC
_NUMBER, _PORT = 1, 3  # CTA_PROTO_NUM, CTA_PROTO_DST_PORT
_PROTOCOLS = {6: "tcp", 17: "udp"}
_BUFFER = 1 << 17


def forget(entries: set[tuple[str, int]], addresses: set[str]) -> int:
    """Delete flows whose first packet went to one of the (protocol, port) pairs, or whose answers come from one of the
    addresses; return how many. Raises OSError."""
    count = 0
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as netlink:
        netlink.bind((0, 0))
        for family in (socket.AF_INET, socket.AF_INET6):
            for flow in [flow for flow in _flows(netlink, family) if _concerns(flow, entries, addresses)]:
                count += _delete(netlink, family, flow)
    return count


def _concerns(flow: dict[int, bytes], entries: set[tuple[str, int]], addresses: set[str]) -> bool:
    original, reply = _attributes(flow.get(_ORIGINAL, b"")), _attributes(flow.get(_REPLY, b""))
    proto = _attributes(original.get(_PROTO, b""))
    number, port = proto.get(_NUMBER, b"\0"), proto.get(_PORT, b"\0\0")
    if (_PROTOCOLS.get(number[0], ""), int.from_bytes(port[:2], "big")) in entries:
        return True
    answering = _attributes(reply.get(_IP, b""))
    return any(_address(answering[kind]) in addresses for kind in _SOURCES if kind in answering)


def _address(packed: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def _flows(netlink: socket.socket, family: int) -> Iterator[dict[int, bytes]]:
    netlink.send(_message(_GET, _REQUEST | _DUMP, family, b""))
    while True:
        for kind, payload in _messages(netlink.recv(_BUFFER)):
            if kind == _DONE:
                return
            if kind == _ERROR:
                raise _failure(payload, "list connections")
            yield _attributes(payload[4:])


def _delete(netlink: socket.socket, family: int, flow: dict[int, bytes]) -> int:
    tuple_ = flow[_ORIGINAL]
    attribute = struct.pack("=HH", 4 + len(tuple_), _ORIGINAL | 0x8000) + tuple_
    netlink.send(_message(_DELETE, _REQUEST | _ACK, family, attribute))
    for _, payload in _messages(netlink.recv(_BUFFER)):
        number = -struct.unpack_from("=i", payload)[0]
        if number == errno.ENOENT:
            return 0
        if number:
            raise _failure(payload, "forget a connection")
    return 1


def _failure(payload: bytes, what: str) -> OSError:
    number = -struct.unpack_from("=i", payload)[0]
    return OSError(number, f"cannot {what}: {os.strerror(number)}")


def _message(kind: int, flags: int, family: int, body: bytes) -> bytes:
    body = struct.pack("=BBH", family, 0, 0) + body
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, payload) of each netlink message in a datagram."""
    position = 0
    while position + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, position)
        if length < 16:
            return
        yield kind, data[position + 16 : position + length]
        position += (length + 3) & ~3


def _attributes(data: bytes) -> dict[int, bytes]:
    """Netlink attributes by type, values as they are."""
    found, position = {}, 0
    while position + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, position)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[position + 4 : position + length]
        position += (length + 3) & ~3
    return found
