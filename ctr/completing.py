"""What fits the last word of a command line: the answer to ``pyctr __complete``, a line each, a tab and what it is.

A daemon that does not answer completes nothing: no message may get between a person and the shell's prompt.
"""

from __future__ import annotations

from ctr import verbs
from ctr.errors import UsageError
from ctr.flags import BOOL, OPTIONAL, parse
from pycontainerd.core.errors import PycontainerdError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from ctr.context import Context
    from ctr.flags import Command, Flag

    Candidate = tuple[str, str]

_RUNNING = "running containers"
_CONTAINERS, _IMAGES, _NETWORKS, _VOLUMES = "containers", "images", "networks", "volumes"
ARGUMENTS = {
    _RUNNING: "attach exec kill pause port restart stats stop top unpause",
    _CONTAINERS: "commit cp diff export inspect logs rename rm start update wait",
    _IMAGES: "create history rmi run save tag",
    _NETWORKS: "network_connect network_disconnect network_inspect network_rm",
    _VOLUMES: "volume_clone volume_export volume_import volume_inspect volume_rename volume_rm",
}
"""What the arguments of verbs are."""
_FLAG_VALUES = {
    "network": _NETWORKS,
    "net": _NETWORKS,
    "volumes-from": _CONTAINERS,
    "volume": _VOLUMES,
}
_WORDS = {
    "restart": ("no", "on-failure", "always", "unless-stopped"),
    "pull": ("always", "missing", "never"),
    "log-driver": ("json-file", "journald", "none"),
    "type": ("container", "image", "network", "volume"),
    "cgroupns": ("host", "private"),
}
_ONE = ("attach", "commit", "diff", "exec", "export", "history", "logs", "port", "top", "create", "run")
"""Verbs of which only the first argument is such a name."""


def candidates(context: Context, flags: Sequence[Flag], words: list[str]) -> list[Candidate]:
    """What the last of ``words`` can become; ``flags`` are the global ones."""
    *before, word = words or [""]
    try:
        before = _without_globals(flags, before, context)
    except UsageError:
        return []
    verb, spelling, rest = verbs.find(before)
    if verb is None or (verb.module in ("inspect",) and not before):
        return _starting(_commands(before, flags, word), word)
    if spelling == before[0] and len(before) == 1 and spelling in verbs.GROUPS:
        return _starting(_commands(before, flags, word), word)
    module: Any = __import__("ctr." + verb.module, None, None, ["COMMAND"])
    try:
        return _starting(_of_verb(context, verb.module, module.COMMAND, (rest, word)), word)
    except PycontainerdError:
        return []


def _without_globals(flags: Sequence[Flag], words: list[str], context: Context) -> list[str]:
    values, rest = parse(flags, words, interspersed=False)
    for name in ("host", "address"):
        if values.given(name):
            context.address = values.text(name).removeprefix("unix://")
    if values.given("namespace"):
        context.namespace = values.text("namespace")
    return rest


def _starting(found: Iterable[Candidate], word: str) -> list[Candidate]:
    return sorted({item for item in found if item[0].startswith(word)})


def _commands(before: list[str], flags: Sequence[Flag], word: str) -> list[Candidate]:
    if word.startswith("-"):
        return [] if before else [("--" + flag.name, flag.help) for flag in flags]
    if not before:
        single = [(name, verb.summary) for verb in verbs.table() for name in verb.spellings if " " not in name]
        return [*single, *verbs.GROUPS.items()]
    found = []
    for verb in verbs.table():
        for name in verb.spellings:
            group, _, inner = name.partition(" ")
            if inner and [group] == before:
                found.append((inner, verb.summary))
    return found


def _of_verb(context: Context, name: str, command: Command, typed: tuple[list[str], str]) -> list[Candidate]:
    rest, word = typed
    waiting = _waiting_flag(command, rest)
    if waiting is not None:
        return _values(context, waiting)
    count = len(_arguments(command, rest))
    if word.startswith("-") and (command.interspersed or not count):
        return [("--help", "Print usage"), *(("--" + flag.name, flag.help) for flag in command.flags)]
    if count and name in _ONE:
        return []
    for kind, names in ARGUMENTS.items():
        if name in names.split():
            kind = _CONTAINERS if name.startswith("network_") and count and "connect" in name else kind
            return _names(context, kind)
    return []


def _arguments(command: Command, rest: list[str]) -> list[str]:
    try:
        return parse(command.flags, rest, interspersed=command.interspersed)[1]
    except UsageError:
        return []


def _waiting_flag(command: Command, rest: list[str]) -> Flag | None:
    """The flag whose value is being typed."""
    last = rest[-1] if rest else ""
    for flag in command.flags:
        if flag.kind in (BOOL, OPTIONAL):
            continue
        if last == "--" + flag.name or (
            flag.short and last.startswith("-") and last[-1:] == flag.short and last[1] != "-"
        ):
            return flag
    return None


def _values(context: Context, flag: Flag) -> list[Candidate]:
    if flag.name in _FLAG_VALUES:
        return _names(context, _FLAG_VALUES[flag.name])
    return [(word, flag.help) for word in _WORDS.get(flag.name, ())]


def _names(context: Context, kind: str) -> list[Candidate]:
    return _LISTS[kind](context)


def _containers(context: Context, *, running: bool = False) -> list[Candidate]:
    from pycontainerd.client import containers, state

    everything = containers.list_all(context.daemon)
    states = state.of_all(context.daemon, everything)
    return [
        (item.name, f"{states[item.id].status}, {item.config.get('Image') or item.record.image}")
        for item in everything
        if not running or states[item.id].running
    ]


def _images(context: Context) -> list[Candidate]:
    from pycontainerd.client import images

    found: list[Candidate] = []
    for image in images.list_all(context.daemon):
        if not image.name.startswith(images.NAMELESS):
            found.append((images.familiar(image.name), "image"))
            repository, tag, _ = images.split_name(image.name)
            if tag == "latest":
                found.append((repository, "image"))
    return found


def _networks(context: Context) -> list[Candidate]:
    from pycontainerd.client import networks

    names = {network.name: network.driver for network in networks.list_all(context.daemon)}
    return list({"bridge": "bridge", "host": "host", "none": "null", **names}.items())


def _volumes(context: Context) -> list[Candidate]:
    from pycontainerd.client import volumes

    return [(volume.name, volume.driver) for volume in volumes.list_all(context.daemon)]


_LISTS: dict[str, Callable[[Context], list[Candidate]]] = {
    _RUNNING: lambda context: _containers(context, running=True),
    _CONTAINERS: _containers,
    _IMAGES: _images,
    _NETWORKS: _networks,
    _VOLUMES: _volumes,
}
