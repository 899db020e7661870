"""Macvlan networks: containers with a MAC of their own on a network the host is on, beside the host. Plans only.

    parent          the interface of the host to share
    macvlan_mode    bridge (default), private, vepa or passthru
    com.docker.network.driver.mtu

The kernel keeps the host and its macvlan containers from talking to each other. Addresses are handed out from the
subnet given at creation, which is mostly the real network's: give ``--ip-range`` for a part that nobody else uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.network import MTU, Endpoint, Network
from pycontainerd.core.network_plan import addresses
from pycontainerd.core.network_request import check_link_name, check_mtu

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycontainerd.core.network import Op

MACVLAN = "macvlan"
MODES = ("bridge", "private", "vepa", "passthru")
_OPTIONS = ("parent", "macvlan_mode", MTU)


class MacvlanDriver:
    """One macvlan interface an endpoint, made on the parent and moved inside."""

    name = MACVLAN
    needs_subnets = True

    def validate(self, network: Network) -> None:
        """Raises InvalidArgument."""
        options = network.options
        for key in options:
            if key not in _OPTIONS:
                raise InvalidArgument("network option", key, f"the macvlan driver knows {', '.join(_OPTIONS)}")
        if not options.get("parent"):
            raise InvalidArgument("macvlan network", network.name, "give the host's interface to share: -o parent=eth0")
        check_link_name(options["parent"], "option parent")
        if options.get("macvlan_mode", "bridge") not in MODES:
            raise InvalidArgument("option macvlan_mode", options["macvlan_mode"], f"want one of {', '.join(MODES)}")
        if options.get(MTU):
            check_mtu(options[MTU])

    def complete(self, network: Network) -> Network:
        """As it is."""
        return network

    def link(self, network: Network) -> str:
        """None of its own."""
        return ""

    def network_up(self, network: Network) -> Sequence[Op]:
        """Nothing to make; the parent has to be there."""
        return [{"op": "macvlan.parent", "parent": network.options["parent"]}]

    def network_down(self, network: Network) -> Sequence[Op]:
        """Nothing to remove."""
        return ()

    def endpoint_up(self, network: Network, endpoint: Endpoint, netns: str) -> Sequence[Op]:
        """The interface with its addresses. Without a gateway for the world on internal networks."""
        return [
            {
                "op": "macvlan",
                "parent": network.options["parent"],
                "mode": network.options.get("macvlan_mode", "bridge"),
                "netns": netns,
                "interface": endpoint.interface,
                "mac": endpoint.mac,
                "mtu": network.mtu,
                "addresses": addresses(network, endpoint),
            }
        ]

    def endpoint_down(self, network: Network, endpoint: Endpoint, netns: str) -> Sequence[Op]:
        """The interface goes."""
        return [{"op": "inner.unlink", "netns": netns, "interface": endpoint.interface}]

    def endpoint_end(self, network: Network, endpoint: Endpoint, netns: str) -> Sequence[Op]:
        """Nothing: it goes with the namespace."""
        return ()
