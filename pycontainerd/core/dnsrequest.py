"""What users ask of names: ``--add-host``, ``--dns``, ``--dns-search``, ``--dns-option``. Pure."""

from __future__ import annotations

import re
from ipaddress import ip_address

from pycontainerd.core.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

HOST_GATEWAY = "host-gateway"
"""An address that stands for this host as the container reaches it."""
MAX_HOST = 253

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?\Z")
_WORD = re.compile(r"[!-~]+\Z")


def parse_extra_host(text: str) -> tuple[str, str]:
    """``NAME:ADDRESS`` or ``NAME=ADDRESS`` as both; IPv6 with or without brackets. Raises InvalidArgument."""
    equals, colon = text.find("="), text.find(":")
    at = equals if equals >= 0 and (colon < 0 or equals < colon) else colon
    name, address = (text[:at], text[at + 1 :]) if at >= 0 else (text, "")
    if not address:
        raise InvalidArgument("extra host", text, "give NAME:ADDRESS, such as db:10.0.0.5")
    if not is_host_name(name):
        raise InvalidArgument("extra host", text, f"{name!r} is no host name")
    if address == HOST_GATEWAY:
        return name, address
    bare = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    try:
        return name, str(ip_address(bare))
    except ValueError:
        raise InvalidArgument("extra host", text, f"{address!r} is no IP address, nor {HOST_GATEWAY}") from None


def is_host_name(text: str) -> bool:
    """Whether a text may stand in /etc/hosts as a name."""
    return len(text) <= MAX_HOST and bool(_HOST.match(text))


def check_dns(servers: Iterable[str], search: Iterable[str], options: Iterable[str]) -> None:
    """Raises InvalidArgument for what cannot stand in a resolv.conf."""
    for server in servers:
        try:
            ip_address(server)
        except ValueError:
            raise InvalidArgument("DNS server", server, "is no IP address") from None
    for domain in search:
        if domain != "." and not is_host_name(domain):
            raise InvalidArgument("DNS search domain", domain, "is no domain name; '.' means none")
    for option in options:
        if not _WORD.match(option):
            raise InvalidArgument("DNS option", option, "want one word, such as ndots:2")
