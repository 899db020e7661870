"""Volumes: named directories that outlive containers, and the decisions about them.

A volume is a row and a directory ``<root>/volumes/<namespace>/<name>`` with the data in ``_data``. The one driver is
``local``; its options are Docker's: ``type``, ``device`` and ``o`` name something to mount on ``_data`` (a bind, a
tmpfs, NFS or any other filesystem), ``size`` bounds what the volume may hold. Who uses a volume is read from the
containers' mount entries (``core.mountentries``), nothing is counted.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.mountentries import check_volume_name
from pycontainerd.core.units import parse_bytes
from pycontainerd.core.values import Mount

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from pycontainerd.core.containers import Container
    from pycontainerd.core.snapshots import Usage

LOCAL = "local"
"""The one driver."""
_OPTIONS = ("type", "o", "device", "size")
_NETWORK = ("nfs", "nfs4", "cifs", "smb3")
_ANONYMOUS = re.compile(r"[0-9a-f]{64}\Z")


class Limit(enum.Enum):
    """How a volume's size is enforced."""

    NONE = ""
    QUOTA = "quota"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume's record. ``mountpoint`` is where its data is seen on the host; ``lost`` says that it is not there."""

    name: str
    driver: str = LOCAL
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    anonymous: bool = False
    created_at: datetime | None = None
    limit: Limit = Limit.NONE
    mountpoint: str = ""
    lost: bool = False

    @property
    def size(self) -> int:
        """Most bytes it may hold, 0 for no bound."""
        return 0 if is_mounted(self.options) else parse_bytes(self.options.get("size") or "0")


@dataclass(frozen=True, slots=True)
class Use:
    """A container that has the volume among its mounts, and where."""

    container: str
    target: str = ""
    readonly: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A volume as it is listed: with its users, and what it holds when that was asked for."""

    volume: Volume
    users: Sequence[Use] = ()
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a prune removed, and how many bytes that freed."""

    names: Sequence[str]
    reclaimed: int


class Trees(Protocol):
    """Whole trees moved by a process that is shut into them. Directories are paths of the host."""

    def copy(self, source: str, target: str) -> None:
        """Everything in ``source`` into the empty ``target``, with the top's own looks; blocks shared if possible."""

    def copy_up(self, rootfs: Sequence[Mount], path: str, target: str) -> bool:
        """The directory ``path`` of a container's root filesystem, which is mounted for it and seen read-only, into the
        empty ``target``, with the looks of the top; False when there is no such directory."""

    def pack(self, source: str, out: int, compression: str = "") -> None:
        """A tar of the tree, with its top, to the descriptor ``out`` (closed by the caller)."""

    def unpack(self, target: str, source: int) -> None:
        """A tar, compressed or not, from the descriptor ``source`` over the tree. Raises InvalidArgument."""


class VolumeStore(Protocol):
    """Volumes by namespace and name. Everything acknowledged survives a power cut."""

    def create(self, namespace: str, volume: Volume) -> Volume:
        """A new one, or the one that is there when it is alike; an empty name gets an anonymous one."""

    def get(self, namespace: str, name: str, *, usage: bool = False) -> Found: ...

    def list(self, namespace: str, filters: Sequence[str] = (), *, usage: bool = False) -> Sequence[Found]: ...

    def remove(self, namespace: str, name: str, *, force: bool = False) -> None: ...

    def prune(self, namespace: str, filters: Sequence[str] = (), *, all: bool = False) -> Pruned: ...

    def rename(self, namespace: str, name: str, new: str) -> Volume: ...

    def clone(self, namespace: str, name: str, new: Volume) -> Volume: ...

    def export(self, namespace: str, name: str, out: int, compression: str = "") -> None: ...

    def load(self, namespace: str, volume: Volume, source: int) -> Volume: ...


class ContainerMounts(Protocol):
    """What the runtime engine asks for when it makes a task: the mounts that a container's entries stand for."""

    def attach(self, namespace: str, container: Container) -> list[dict[str, object]]:
        """The container's mounts for its OCI spec, ready to be made. Raises what keeps one from being made."""

    def detach(self, namespace: str, id: str) -> None:
        """Let go of what was made ready for a container; idempotent, never raises."""


def check_new(volume: Volume) -> None:
    """Raise InvalidArgument for a volume that cannot be made."""
    if volume.name:
        check_volume_name(volume.name)
    if volume.driver != LOCAL:
        raise InvalidArgument("volume driver", volume.driver, "there is the driver local, and no plugins")
    check_options(volume.options)


def is_anonymous_name(name: str) -> bool:
    """Whether a name looks like one that was made up."""
    return _ANONYMOUS.match(name) is not None


def alike(old: Volume, new: Volume) -> bool:
    """Whether asking for ``new`` is content with ``old``: drivers agree, and so do options if there are any."""
    return old.driver == new.driver and (not new.options or dict(old.options) == dict(new.options))


# -- the options of the local driver --


def check_options(options: Mapping[str, str]) -> None:
    """Raise InvalidArgument for options that make no volume; the rules are those of Docker's local driver."""
    for key in options:
        if key not in _OPTIONS:
            raise InvalidArgument(f'invalid option: "{key}"', hint=f"there are {', '.join(_OPTIONS)}")
    size = parse_bytes(options.get("size") or "0")
    if not is_mounted(options):
        if options.get("type") or options.get("o"):
            raise InvalidArgument("missing device in volume options", hint="say what to mount: device=…")
        return
    if not options.get("type"):
        raise InvalidArgument("missing type in volume options", hint="say what the device is: type=none, tmpfs, nfs …")
    words = _words(options)
    if size and options["type"] != "tmpfs":
        raise InvalidArgument('option "size" bounds a volume of our own', hint="what is mounted has its own size")
    if ("bind" in words or "rbind" in words) and not options["device"].startswith("/"):
        raise InvalidArgument("device of a bind volume", options["device"], "it must be an absolute path")
    if options["type"] in _NETWORK and not address_of(options) and not _has_host(options["device"]):
        raise InvalidArgument(f"missing address of the {options['type']} server", hint="give o=addr=…")


def is_mounted(options: Mapping[str, str]) -> bool:
    """Whether the volume's data is something else, mounted on its directory."""
    return bool(options.get("device"))


def address_of(options: Mapping[str, str]) -> str:
    """The server in the mount options, which has to be looked up: the kernel takes no names."""
    return next((word.partition("=")[2] for word in _words(options) if word.startswith("addr=")), "")


def _has_host(device: str) -> bool:
    return not device.startswith(":") and (":" in device or device.startswith("//"))


def _words(options: Mapping[str, str]) -> list[str]:
    return [word for word in (options.get("o") or "").split(",") if word]


def mount_of(options: Mapping[str, str], address: str = "") -> Mount:
    """What to mount on the data directory; ``address`` is the looked-up address of a server, if there is one."""
    words = [f"addr={address}" if address and word.startswith("addr=") else word for word in _words(options)]
    if options["type"] == "tmpfs" and options.get("size") and not any(word.startswith("size=") for word in words):
        words.append(f"size={parse_bytes(options['size'])}")
    bind = "bind" in words or "rbind" in words
    return Mount("none" if bind else options["type"], options["device"], options=tuple(words))


# -- filters --

_FILTERS = ("name", "label", "label!", "driver", "dangling", "anonymous")


def compile_filters(filters: Sequence[str]) -> Callable[[Volume, bool], bool]:
    """A predicate of (volume, is used) for ``key=value`` filters as Docker has them.

    Different keys must all hold; of one key any value does, but of ``label`` all. Raises InvalidArgument.
    """
    wanted: dict[str, list[str]] = {}
    for text in filters:
        key, equals, value = text.partition("=")
        if key.endswith("!") or (key == "label" and value.startswith("!")):
            key, value = "label!", value.removeprefix("!")
        if key not in _FILTERS or not equals:
            raise InvalidArgument(f"invalid filter '{key}'", hint=f"there are {', '.join(_FILTERS)}, each with =value")
        wanted.setdefault(key, []).append(value)
    tests = [_test(key, values) for key, values in wanted.items()]
    return lambda volume, used: all(test(volume, used) for test in tests)


def _test(key: str, values: Sequence[str]) -> Callable[[Volume, bool], bool]:
    if key == "name":
        return lambda volume, _: any(_matches(value, volume.name) for value in values)
    if key == "driver":
        return lambda volume, _: volume.driver in values
    if key == "label":
        return lambda volume, _: all(_has_label(volume, value) for value in values)
    if key == "label!":
        return lambda volume, _: not any(_has_label(volume, value) for value in values)
    truths = {_truth(key, value) for value in values}
    if key == "dangling":
        return lambda _, used: (not used) in truths
    return lambda volume, _: volume.anonymous in truths


def _matches(pattern: str, name: str) -> bool:
    try:
        return pattern == name or re.search(pattern, name) is not None
    except re.error:
        return pattern in name


def _has_label(volume: Volume, text: str) -> bool:
    key, equals, value = text.partition("=")
    return key in volume.labels and (not equals or volume.labels[key] == value)


def _truth(key: str, value: str) -> bool:
    if value.lower() not in {"1", "0", "true", "false", "t", "f"}:
        raise InvalidArgument(f"invalid filter '{key}={value}'", hint="give true or false")
    return value.lower() in {"1", "true", "t"}


# -- rows and directories --


class State(enum.Enum):
    """What a marker beside the data says of a directory's place in time."""

    PLAIN = ""
    NEW = "new"
    DOOMED = "doomed"
    FILLING = "filling"


class Action(enum.Enum):
    """What is to be done about a name when the store opens."""

    KEEP = enum.auto()
    UNMARK = enum.auto()
    CHECK_FILLING = enum.auto()
    FINISH_RENAME = enum.auto()
    LOST = enum.auto()
    DELETE = enum.auto()
    ADOPT = enum.auto()


def reconcile(*, row: bool, directory: bool, state: State = State.PLAIN, old_directory: bool = False) -> Action:
    """What to do about one name, of which there is a row or a directory, or both.

    ``old_directory``: the row was renamed, and the directory is still there under its old name. A directory without a
    row goes only if it was never acknowledged (NEW) or its removal was asked for (DOOMED); any other is taken in again.
    """
    if row and directory:
        return _WITH_ROW[state]
    if row:
        return Action.FINISH_RENAME if old_directory else Action.LOST
    return Action.DELETE if state in {State.NEW, State.DOOMED} else Action.ADOPT


_WITH_ROW = {
    State.PLAIN: Action.KEEP,
    State.NEW: Action.UNMARK,
    State.DOOMED: Action.UNMARK,
    State.FILLING: Action.CHECK_FILLING,
}
