"""Connection tracking: forgetting translations that lead to what is gone. Only for the agent.

TCP connections die with their container. A UDP flow has no end: as long as its sender goes on, packets follow the
translation its first packet met, past every later change of the maps.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pyroute2 import NFCTSocket
from pyroute2.netlink.exceptions import NetlinkError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROTOCOLS = {6: "tcp", 17: "udp"}


def forget(entries: set[tuple[str, int]], addresses: set[str]) -> int:
    """Delete flows whose first packet went to one of the (protocol, port) pairs, or whose answers come from one of the
    addresses; return how many."""
    count = 0
    with NFCTSocket() as netlink:
        for family in (2, 10):
            for flow in list(_dump(netlink, family)):
                original, reply = _tuple(flow, "CTA_TUPLE_ORIG"), _tuple(flow, "CTA_TUPLE_REPLY")
                if original[2:] in entries or reply[0] in addresses:
                    count += _delete(netlink, flow)
    return count


def _dump(netlink: Any, family: int) -> Iterator[Any]:
    from pyroute2.netlink.nfnetlink.nfctsocket import IPCTNL_MSG_CT_GET, NFNL_SUBSYS_CTNETLINK, nfct_msg

    message = nfct_msg()
    message["nfgen_family"] = family
    kind = (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_GET
    yield from netlink.nlm_request(message, msg_type=kind, msg_flags=0x301)


def _tuple(flow: Any, name: str) -> tuple[str, str, str, int]:
    """(source, destination, protocol, destination port) of one direction."""
    found = flow.get_attr(name)
    address = found.get_attr("CTA_TUPLE_IP") if found else None
    proto = found.get_attr("CTA_TUPLE_PROTO") if found else None
    if not address or not proto:
        return "", "", "", 0
    source = address.get_attr("CTA_IP_V4_SRC") or address.get_attr("CTA_IP_V6_SRC") or ""
    target = address.get_attr("CTA_IP_V4_DST") or address.get_attr("CTA_IP_V6_DST") or ""
    number, port = proto.get_attr("CTA_PROTO_NUM"), proto.get_attr("CTA_PROTO_DST_PORT") or 0
    return str(source), str(target), _PROTOCOLS.get(number, ""), int(port)


def _delete(netlink: Any, flow: Any) -> int:
    from pyroute2.netlink.nfnetlink.nfctsocket import IPCTNL_MSG_CT_DELETE, NFNL_SUBSYS_CTNETLINK, nfct_msg

    message = nfct_msg()
    message["nfgen_family"] = flow["nfgen_family"]
    message["attrs"] = [("CTA_TUPLE_ORIG", flow.get_attr("CTA_TUPLE_ORIG"))]
    kind = (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_DELETE
    try:
        with suppress(StopIteration):
            list(netlink.nlm_request(message, msg_type=kind, msg_flags=0x5))
    except NetlinkError as error:
        if error.code != errno.ENOENT:
            raise
        return 0
    return 1
