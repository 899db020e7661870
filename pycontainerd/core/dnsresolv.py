"""``resolv.conf`` (resolv.conf(5)): reading the host's, writing containers'. Pure, and loaded by the DNS responder."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

RESOLVER = "127.0.0.11"
"""Where containers on user-defined networks find the DNS responder; Docker's address."""
FALLBACK = ("8.8.8.8", "8.8.4.4")
"""Servers for containers that cannot reach any of the host's, as Docker chooses them."""
HOST_FILE = "/etc/resolv.conf"
STUB_FILE = "/run/systemd/resolve/resolv.conf"
"""The servers behind systemd-resolved, when the host's own file names only its stub."""
TIMEOUT, ATTEMPTS = 5, 2
"""The resolver library's defaults: seconds for one try, and tries of the whole list."""


class ResolvConf:
    """What a resolv.conf says. ``servers`` in order, without brackets or ports; ``options`` as written."""

    __slots__ = ("options", "search", "servers")

    def __init__(self, servers: Sequence[str] = (), search: Sequence[str] = (), options: Sequence[str] = ()) -> None:
        self.servers, self.search, self.options = tuple(servers), tuple(search), tuple(options)

    def number(self, option: str, default: int, most: int) -> int:
        """The value of an option like ``timeout:3``, from 1 to ``most``."""
        for item in reversed(self.options):
            name, _, value = item.partition(":")
            if name == option and value.isdecimal():
                return max(1, min(int(value), most))
        return default


def parse(text: str) -> ResolvConf:
    """Read a file; lines and words that mean nothing are ignored, the last ``search`` or ``domain`` counts."""
    servers: list[str] = []
    search: Sequence[str] = ()
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#", 1)[0].split(";", 1)[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver" and words[1] not in servers:
            servers.append(words[1])
        elif words[0] in {"search", "domain"}:
            search = words[1:]
        elif words[0] == "options":
            options += words[1:]
    return ResolvConf(servers, search, options)


def render(conf: ResolvConf, comment: str = "") -> str:
    """The text of a file; a search list of ``.`` means none."""
    lines = [f"# {comment}"] if comment else []
    lines += [f"nameserver {server}" for server in conf.servers]
    if conf.search and conf.search != (".",):
        lines.append("search " + " ".join(conf.search))
    if conf.options:
        lines.append("options " + " ".join(conf.options))
    return "\n".join(lines) + "\n"


def is_loopback(server: str) -> bool:
    """Whether a server's address is one of the host itself: out of reach from another network namespace."""
    bare = server.partition("%")[0]
    return (
        bare.startswith("127.") or bare in {"::1", "0:0:0:0:0:0:0:1", "0.0.0.0", "::"} or bare.startswith("::ffff:127.")
    )


def is_link_local(server: str) -> bool:
    """Whether a server is reached only over an interface of the host that its address names."""
    return server.lower().startswith("fe80:") or "%" in server


def reachable(conf: ResolvConf, *, ipv6: bool) -> tuple[str, ...]:
    """The servers that a container can ask by itself, Docker's choice where there are none."""
    found = [server for server in conf.servers if not is_loopback(server) and not is_link_local(server)]
    return tuple(server for server in found if ipv6 or ":" not in server) or FALLBACK
