"""The files that tell a container about itself and its names: /etc/hostname, /etc/hosts, /etc/resolv.conf. Pure.

As with Docker: hosts has a line for each of the container's own addresses; resolv.conf names the DNS responder when the
container is on a user-defined network, else servers the container can ask by itself. Lines a user has put into hosts
while the container runs stay when it joins or leaves a network; a resolv.conf that was edited is left alone. Both are
made anew when the container starts again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycontainerd.core.dnsmember import SHORT_ID, needs_responder
from pycontainerd.core.dnsrequest import HOST_GATEWAY, parse_extra_host
from pycontainerd.core.dnsresolv import RESOLVER, ResolvConf, reachable, render
from pycontainerd.core.network_plan import way_out

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pycontainerd.core.network import Network, Sandbox

HOSTNAME, HOSTS, RESOLV_CONF = "hostname", "hosts", "resolv.conf"
"""Names of the files, in the container's directory as in /etc."""
LOCAL = (
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::\tip6-localnet",
    "ff00::\tip6-mcastprefix",
    "ff02::1\tip6-allnodes",
    "ff02::2\tip6-allrouters",
)
_COMMENT = "made from the host's /etc/resolv.conf and this container's options; your changes last until its next start"


def host_name(sandbox: Sandbox) -> str:
    """What the container calls itself: what was asked for, else its short id."""
    return sandbox.request.hostname or sandbox.container[:SHORT_ID]


def full_name(sandbox: Sandbox) -> str:
    """The same with its domain, if it has one."""
    domain = sandbox.request.domainname
    return f"{host_name(sandbox)}.{domain}" if domain else host_name(sandbox)


def render_hostname(sandbox: Sandbox) -> str:
    """The text of /etc/hostname."""
    return host_name(sandbox) + "\n"


def own_lines(sandbox: Sandbox) -> list[str]:
    """The lines of hosts that tell the container's own addresses."""
    full, short = full_name(sandbox), host_name(sandbox)
    names = " ".join(dict.fromkeys((full, short, short.partition(".")[0])))
    addresses = [ip for endpoint in sandbox.endpoints for ip in (endpoint.ip4, endpoint.ip6) if ip]
    return [f"{address}\t{names}" for address in addresses]


def host_gateways(sandbox: Sandbox, networks: Mapping[str, Network]) -> list[str]:
    """This host's addresses as the container reaches them; none without a network that has a gateway."""
    found = []
    for version in (4, 6):
        endpoint = way_out(sandbox.endpoints, networks, version)
        inner = [networks[item.network].gateway(version) for item in sandbox.endpoints if item.network in networks]
        gateway = networks[endpoint.network].gateway(version) if endpoint is not None else next(filter(None, inner), "")
        if gateway:
            found.append(gateway)
    return found


def extra_lines(extra_hosts: Sequence[str], gateways: Sequence[str]) -> list[str]:
    """The lines for ``--add-host``. Raises InvalidArgument."""
    lines = []
    for text in extra_hosts:
        name, address = parse_extra_host(text)
        lines += [f"{item}\t{name}" for item in (gateways if address == HOST_GATEWAY else [address])]
    return lines


def render_hosts(sandbox: Sandbox, networks: Mapping[str, Network]) -> str:
    """The text of a new hosts file. Raises InvalidArgument for an extra host that is none."""
    extra = extra_lines(sandbox.request.extra_hosts, host_gateways(sandbox, networks))
    return "\n".join([*LOCAL, *extra, *own_lines(sandbox)]) + "\n"


def merge_hosts(text: str, old: Sequence[str], new: Sequence[str]) -> str:
    """A hosts file as it stands, with our lines ``old`` replaced by ``new``; everything else stays where it is."""
    if list(old) == list(new):
        return text
    gone = set(old) - set(new)
    lines = [line for line in text.splitlines() if line not in gone]
    lines += [line for line in new if line not in lines]
    return "\n".join(lines) + "\n"


def resolv_conf(sandbox: Sandbox, networks: Mapping[str, Network], host: ResolvConf) -> ResolvConf:
    """What the container's resolv.conf says; ``host`` is the host's own."""
    request = sandbox.request
    search = request.dns_search or host.search
    options = request.dns_options or host.options
    if needs_responder(sandbox, networks):
        if not any(option.startswith("ndots:") for option in options):
            options = (*options, "ndots:0")
        return ResolvConf((RESOLVER,), search, options)
    ipv6 = any(endpoint.ip6 for endpoint in sandbox.endpoints)
    return ResolvConf(request.dns or reachable(host, ipv6=ipv6), search, options)


def render_resolv_conf(conf: ResolvConf) -> str:
    """The text of a container's resolv.conf."""
    return render(conf, _COMMENT)
