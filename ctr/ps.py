"""``pyctr ps``: the containers."""

from __future__ import annotations

import time

from ctr.errors import UsageError
from ctr.flags import BOOL, INT, LIST, STRING, Command, flag
from ctr.output import Table, ellipsis, short
from pycontainerd.client import containers, networks, volumes
from pycontainerd.client import state as states
from pycontainerd.client.images import familiar
from pycontainerd.client.state import STATUSES
from pycontainerd.core.settings import NAME_LABEL
from pycontainerd.core.units import human_duration, human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ctr.context import Context
    from ctr.flags import Values
    from pycontainerd.client.containers import Container
    from pycontainerd.client.state import State
    from pycontainerd.wire.messages.networks import Sandbox

    Row = dict[str, Any]

COMMAND = Command(
    "ps",
    "[OPTIONS]",
    "List containers",
    (
        flag("all", "a", BOOL, "Show all containers (default shows just running)"),
        flag("filter", "f", LIST, "Filter output (id, name, label, status, ancestor, …)", metavar="filter"),
        flag("format", "", STRING, "Format output: table, json, a Go template, or 'table TEMPLATE'"),
        flag("last", "n", INT, "Show the last created containers, in all states", default="-1"),
        flag("latest", "l", BOOL, "Show the latest created container, in all states"),
        flag("no-trunc", "", BOOL, "Don't truncate output"),
        flag("quiet", "q", BOOL, "Only display container ids"),
        flag("size", "s", BOOL, "Display total file sizes"),
    ),
    most=0,
    example="pyctr ps -a --filter status=exited\npyctr ps --format '{{.Names}}: {{.Status}}'",
)
COLUMNS = (
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("RunningFor", "CREATED"),
    ("Status", "STATUS"),
    ("Ports", "PORTS"),
    ("Names", "NAMES"),
)
MORE = (
    ("CreatedAt", "CREATED AT"),
    ("State", "STATE"),
    ("Size", "SIZE"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("Networks", "NETWORKS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0; 1 for a filter there is not."""
    found = _chosen(context, values)
    if values.on("quiet") and not values.given("format"):
        for container, _ in found:
            print(container.id if values.on("no-trunc") else short(container.id))
        return 0
    now = time.time_ns()
    sandboxes = networks.sandboxes(context.daemon) if any(state.running for _, state in found) else {}
    rows = [_row(context, values, container, (state, sandboxes.get(container.id)), now) for container, state in found]
    columns = COLUMNS if not values.on("size") else (*COLUMNS, ("Size", "SIZE"))
    Table(columns, MORE).print(rows, values.text("format"))
    return 0


def _chosen(context: Context, values: Values) -> list[tuple[Container, State]]:
    """The containers to show, the newest first."""
    wanted = _filters(values.items("filter"))
    everything = sorted(containers.list_all(context.daemon), key=lambda item: -item.created)
    found = states.of_all(context.daemon, everything)
    last = 1 if values.on("latest") else values.number("last")
    show_all = values.on("all") or last > 0 or "status" in wanted or "exited" in wanted
    tests = _tests(wanted, everything)
    if "publish" in wanted:
        tests.append(_publishing(context, wanted["publish"]))
    result: list[tuple[Container, State]] = []
    for container in everything:
        state = found[container.id]
        if (show_all or state.running or state.status == "restarting") and all(
            test(container, state) for test in tests
        ):
            result.append((container, state))
        if 0 < last <= len(result):
            break
    return result


_FILTERS = (
    "ancestor", "before", "exited", "expose", "health", "id", "label", "name", "network", "publish", "since", "status",
    "volume",
)  # fmt: skip


def _filters(items: list[str]) -> dict[str, list[str]]:
    result: dict[str, list[str]] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or key not in _FILTERS:
            raise UsageError(f"invalid filter '{item}'", f"there are {', '.join(_FILTERS)}")
        if key == "status" and value not in STATUSES:
            raise UsageError(f"invalid filter 'status={value}'", f"there are {', '.join(STATUSES)}")
        if key == "exited" and not value.isdigit():
            raise UsageError(f"invalid filter 'exited={value}'", "give an exit code")
        result.setdefault(key, []).append(value)
    return result


def _tests(wanted: dict[str, list[str]], everything: list[Container]) -> list[Callable[[Container, State], bool]]:
    """One test a key: several values of one key are alternatives, except labels, which must all be there."""
    makers: dict[str, Callable[[list[str]], Callable[[Container, State], bool]]] = {
        "id": lambda texts: lambda item, _: any(item.id.startswith(text) for text in texts),
        "name": lambda texts: lambda item, _: any(_matches(text, item.name) for text in texts),
        "status": lambda texts: lambda _, state: state.status in texts,
        "exited": lambda texts: lambda _, state: state.status == "exited" and str(state.exit_code) in texts,
        "health": lambda texts: lambda _, state: (state.health.status if state.health else "none") in texts,
        "expose": lambda texts: lambda item, _: any(_exposes(item, text) for text in texts),
        "label": lambda texts: lambda item, _: all(_has_label(item, text) for text in texts),
        "ancestor": lambda texts: lambda item, _: any(_has_image(item, text) for text in texts),
        "network": lambda texts: lambda item, _: any(name in texts for name in networks.names_of(item)),
        "volume": lambda texts: lambda item, _: any(_has_mount(item, text) for text in texts),
        "before": lambda texts: lambda item, _: item.created < _moment_of(texts[-1], everything),
        "since": lambda texts: lambda item, _: item.created > _moment_of(texts[-1], everything),
    }
    return [makers[key](texts) for key, texts in wanted.items() if key in makers]


def _matches(pattern: str, name: str) -> bool:
    import re

    try:
        return re.search(pattern, name) is not None or re.search(pattern, "/" + name) is not None
    except re.error as error:
        raise UsageError(f"invalid filter 'name={pattern}': {error}") from error


def _has_label(container: Container, text: str) -> bool:
    key, equals, value = text.partition("=")
    labels = container.config.get("Labels") or container.record.labels
    return key in labels and (not equals or labels[key] == value)


def _has_image(container: Container, text: str) -> bool:
    from pycontainerd.client.images import expand

    digest = str(container.settings.get("Image") or "")
    name = container.record.image
    same = name == expand(text) or (name.rpartition(":")[0] == expand(text).rpartition(":")[0] and ":" not in text)
    return same or (len(text) >= 4 and digest.removeprefix("sha256:").startswith(text.removeprefix("sha256:")))


def _ports_of(text: str) -> set[str]:
    """``80``, ``80/tcp`` or ``80-90/udp`` as single ports. Raises UsageError."""
    number, _, proto = text.partition("/")
    low, _, high = number.partition("-")
    if not low.isdigit() or not (high or low).isdigit():
        raise UsageError(f"invalid filter '{text}'", "give a port, such as 80, 80/udp or 8000-8080/tcp")
    return {f"{port}/{proto or 'tcp'}" for port in range(int(low), int(high or low) + 1)}


def _exposes(container: Container, text: str) -> bool:
    return not _ports_of(text).isdisjoint(container.config.get("ExposedPorts") or ())


def _publishing(context: Context, texts: list[str]) -> Callable[[Container, State], bool]:
    """Whether a container has one of the host's ports now."""
    wanted = {port for text in texts for port in _ports_of(text)}
    sandboxes = networks.sandboxes(context.daemon)

    def test(container: Container, _state: State) -> bool:
        ports = networks.ports_of(sandboxes.get(container.id))
        taken = {
            f"{binding['HostPort']}/{port.partition('/')[2]}"
            for port, found in ports.items()
            for binding in found or ()
        }
        return not wanted.isdisjoint(taken)

    return test


def _has_mount(container: Container, text: str) -> bool:
    found = volumes.entries(container)
    return any(text in (entry.get("volume"), entry.get("source"), entry["target"]) for entry in found)


def _moment_of(text: str, everything: list[Container]) -> int:
    for container in everything:
        if container.name == text or container.id.startswith(text):
            return container.created
    raise UsageError(f"No such container: {text}")


def _row(context: Context, values: Values, container: Container, live: tuple[State, Sandbox | None], now: int) -> Row:
    state, sandbox = live
    whole = values.on("no-trunc")
    words = [*(container.config.get("Entrypoint") or ()), *(container.config.get("Cmd") or ())]
    command = " ".join(f"'{word}'" if " " in word else word for word in words)
    created = time.localtime(container.created // 10**9)
    image = container.config.get("Image") or familiar(container.record.image)
    labels = container.config.get("Labels") or {
        key: value for key, value in container.record.labels.items() if key != NAME_LABEL
    }
    entries = volumes.entries(container)
    mounts = [name for entry in entries if (name := entry.get("volume") or entry.get("source"))]
    row: Row = {
        "ID": container.id if whole else short(container.id),
        "Image": image,
        "Command": f'"{command if whole else ellipsis(command, 20)}"',
        "RunningFor": human_duration((now - container.created) / 1e9) + " ago",
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S %z %Z", created),
        "Status": state.sentence(now),
        "State": state.status,
        "Ports": _ports(container, sandbox) if state.running else "",
        "Names": container.name,
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        "Mounts": ",".join(mount if whole else ellipsis(mount, 15) for mount in mounts),
        "Networks": ",".join(networks.names_of(container)),
        "LocalVolumes": str(len({entry["volume"] for entry in entries if entry["type"] == "volume"})),
        "Size": "0B",
    }
    if values.on("size") or ".Size" in values.text("format"):
        own, total = sizes(context, container)
        row["Size"] = f"{human_size(own)} (virtual {human_size(total)})"
    return row


def _ports(container: Container, sandbox: Sandbox | None) -> str:
    """``0.0.0.0:8080->80/tcp, :::8080->80/tcp, 443/tcp``."""
    ports, exposed = networks.ports_of(sandbox), container.config.get("ExposedPorts") or ()
    if not ports and not exposed:
        return ""
    from ctr import portlist

    return portlist.line(ports, exposed)


def sizes(context: Context, container: Container) -> tuple[int, int]:
    """Bytes of what a container wrote, and of its whole root filesystem."""
    from pycontainerd.client import snapshots

    record = container.record
    infos = snapshots.infos(context.daemon, record.snapshotter)
    own = snapshots.size(context.daemon, record.snapshotter, record.snapshot_key)
    total, key = own, infos[record.snapshot_key].parent if record.snapshot_key in infos else ""
    while key:
        total += snapshots.size(context.daemon, record.snapshotter, key)
        key = infos[key].parent if key in infos else ""
    return own, total
