"""``pyctr network ls``."""

from __future__ import annotations

import time

from ctr.errors import UsageError
from ctr.flags import BOOL, LIST, STRING, Command, flag
from ctr.output import Table, short
from pycontainerd.client import networks
from pycontainerd.client.times import ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values
    from ctr.output import Row
    from pycontainerd.wire.messages.networks import Network

COMMAND = Command(
    "network ls",
    "[OPTIONS]",
    "List networks",
    (
        flag("filter", "f", LIST, "Filter output (driver, id, label, name, scope, type, dangling)", metavar="filter"),
        flag("format", "", STRING, "Format output: table, json, a Go template, or 'table TEMPLATE'"),
        flag("no-trunc", "", BOOL, "Do not truncate the output"),
        flag("quiet", "q", BOOL, "Only display network IDs"),
    ),
    most=0,
    example="pyctr network ls --filter driver=bridge",
)
COLUMNS = (("ID", "NETWORK ID"), ("Name", "NAME"), ("Driver", "DRIVER"), ("Scope", "SCOPE"))
MORE = (("IPv6", "IPV6"), ("Internal", "INTERNAL"), ("Labels", "LABELS"), ("CreatedAt", "CREATED AT"))
MODES = ("host", "none")
"""Networks in name alone: modes of a container."""
BUILTIN = ("bridge", *MODES)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0."""
    found = [*networks.list_all(context.daemon), *builtin()]
    shown = [network for network in found if all(_passes(network, item) for item in values.items("filter"))]
    shown.sort(key=lambda network: network.name)
    whole = values.on("no-trunc")
    if values.on("quiet") and not values.given("format"):
        for network in shown:
            print(network.id if whole else short(network.id))
        return 0
    Table(COLUMNS, MORE).print([_row(network, whole=whole) for network in shown], values.text("format"))
    return 0


def builtin() -> list[Network]:
    """The two that are no networks of the daemon's, but modes of a container."""
    from pycontainerd.wire.messages.networks import Network

    return [
        Network(id="h" + "0" * 63, name="host", driver="host"),
        Network(id="n" + "0" * 63, name="none", driver="null"),
    ]


def _row(network: Network, *, whole: bool) -> Row:
    return {
        "ID": network.id if whole else short(network.id),
        "Name": network.name,
        "Driver": network.driver,
        "Scope": "local",
        "IPv6": str(network.ipv6).lower(),
        "Internal": str(network.internal).lower(),
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(network.labels.items())),
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(ns(network.created_at) // 10**9)),
    }


def _passes(network: Network, item: str) -> bool:
    key, equals, value = item.partition("=")
    if not equals:
        raise UsageError(f"invalid filter '{item}'", "there are driver, id, label, name, scope, type and dangling")
    if key == "label":
        name, has_value, wanted = value.partition("=")
        return name in network.labels and (not has_value or network.labels[name] == wanted)
    if key == "dangling":
        unused = not network.endpoints and network.name not in BUILTIN
        return unused is (value in ("true", "1"))
    tests = {
        "driver": network.driver == value,
        "id": network.id.startswith(value),
        "name": value in network.name,
        "scope": value == "local",
        "type": (network.name in BUILTIN) is (value == "builtin"),
    }
    if key not in tests:
        raise UsageError(f"invalid filter '{item}'", "there are driver, id, label, name, scope, type and dangling")
    return tests[key]
