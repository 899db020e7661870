"""The mount manager: what to do with mounts that the kernel alone cannot make (containerd, docs/mounts.md).

A mount's type may carry transforms as prefixes, applied from the outside in: `format/` fills in templates with the
results of earlier mounts, `mkfs/` makes and formats an image file, `mkdir/` makes directories. A type may also need a
handler of its own (`loop`). `plan` decides which mounts the manager performs and which are left to the caller; the
functions below it are the transforms as far as they are pure. Nothing here touches a disk.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.filters import ABSENT, map_field, text_field
from pycontainerd.core.units import parse_bytes
from pycontainerd.core.values import Mount

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from pycontainerd.core.filters import Adaptor

FORMAT, MKFS, MKDIR = "format", "mkfs", "mkdir"
TRANSFORMS = (FORMAT, MKFS, MKDIR)
MKFS_OPTION = "X-containerd.mkfs."
MKDIR_OPTION = "X-containerd.mkdir."
FILESYSTEMS = ("ext2", "ext3", "ext4", "xfs")

_TEMPLATE = re.compile(r"\{\{-?\s*(\w+)((?:\s+-?\d+)*)\s*-?\}\}")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")


@dataclass(frozen=True, slots=True)
class ActiveMount:
    """A mount the manager performed: as it was made, where, when, and what a handler has to say about it."""

    mount: Mount
    mount_point: str
    mounted_at: datetime | None = None
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Activation:
    """A named set of mounts: those made, and those left for the caller to make on its target."""

    name: str
    active: tuple[ActiveMount, ...] = ()
    system: tuple[Mount, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


class MountManager(Protocol):
    """Activations by namespace and name."""

    def activate(
        self,
        namespace: str,
        name: str,
        mounts: Sequence[Mount],
        labels: Mapping[str, str] | None = None,
        *,
        temporary: bool = False,
        lease: str = "",
    ) -> Activation:
        """Make what the caller cannot. Raises Unimplemented when there is nothing to do, AlreadyExists (use `info`)."""

    def deactivate(self, namespace: str, name: str) -> None: ...

    def info(self, namespace: str, name: str) -> Activation: ...

    def update(self, namespace: str, activation: Activation, paths: Sequence[str] = ()) -> Activation: ...

    def list(self, namespace: str, filters: Sequence[str] = ()) -> Iterator[Activation]: ...


@dataclass(frozen=True, slots=True)
class Step:
    """One mount taken apart: its transforms in order, and the mount with the bare type."""

    mount: Mount
    transforms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """``managed`` are performed by the manager, ``system`` go back to the caller once transformed."""

    managed: tuple[Step, ...]
    system: tuple[Step, ...]


def plan(
    mounts: Sequence[Mount],
    handled: Collection[str],
    *,
    temporary: bool = False,
    allow_transforms: Collection[str] = (),
    allow_types: Collection[str] = (),
) -> Plan | None:
    """Split ``mounts``; None when all of them are plain and the caller may make them by itself.

    ``handled`` are the types with a handler. ``temporary`` makes the manager perform everything. The caller may claim
    transforms and types; a claim is void where a later mount depends on the result.
    """
    steps: list[Step] = []
    first = -1
    for index, mount in enumerate(mounts):
        step = take_apart(mount)
        steps.append(step)
        whole_type_claimed = mount.type in allow_types
        if any(name not in allow_transforms and not whole_type_claimed for name in step.transforms):
            first = index  # all before it must stand when it is transformed
        if temporary or (step.mount.type in handled and step.mount.type not in allow_types):
            first = index + 1
    if first < 0:
        return None
    return Plan(tuple(steps[:first]), tuple(steps[first:]))


def take_apart(mount: Mount) -> Step:
    """Split the transforms off a mount's type; an unknown prefix belongs to the type."""
    names: list[str] = []
    rest = mount.type
    while True:
        head, slash, tail = rest.partition("/")
        if not slash or head not in TRANSFORMS:
            return Step(replace(mount, type=rest), tuple(names))
        names.append(head)
        rest = tail


# -- format/ --------------------------------------------------------------------------------------------------------


def fill_in(mount: Mount, active: Sequence[ActiveMount]) -> Mount:
    """Fill the templates of a mount's source, target and options. Raises InvalidArgument naming the template."""
    return Mount(
        mount.type,
        fill_text(mount.source, active),
        fill_text(mount.target, active),
        tuple(fill_text(option, active) for option in mount.options),
    )


def fill_text(text: str, active: Sequence[ActiveMount]) -> str:
    """Fill `{{ source N }}`, `{{ target N }}`, `{{ mount N }}` and `{{ overlay FIRST LAST }}`, N counting from 0."""
    if "{{" not in text:
        return text
    filled: list[str] = []
    at = 0
    for match in _TEMPLATE.finditer(text):
        filled += [text[at : match.start()], _value(match[0], match[1], [int(n) for n in match[2].split()], active)]
        at = match.end()
    filled.append(text[at:])
    if any("{{" in part for part in filled[::2]):
        raise InvalidArgument("mount template", text, "only source, target, mount and overlay with numbers are known")
    return "".join(filled)


def _value(template: str, name: str, numbers: Sequence[int], active: Sequence[ActiveMount]) -> str:
    expected = {"source": 1, "target": 1, "mount": 1, "overlay": 2}.get(name)
    if expected is None or len(numbers) != expected:
        raise InvalidArgument("mount template", template, "known are source N, target N, mount N, overlay FIRST LAST")
    if any(not 0 <= number < len(active) for number in numbers):
        raise InvalidArgument("mount template", template, f"only {len(active)} mounts come before it")
    if name == "overlay":
        first, last = numbers
        step = 1 if first <= last else -1
        return ":".join(active[number].mount_point for number in range(first, last + step, step))
    entry = active[numbers[0]]
    if name == "mount":
        return entry.mount_point
    return entry.mount.source if name == "source" else entry.mount.target


# -- mkdir/ and mkfs/ -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory to make; ``uid`` and ``gid`` -1 leave the owner alone."""

    path: str
    mode: int = 0o700
    uid: int = -1
    gid: int = -1


@dataclass(frozen=True, slots=True)
class Image:
    """A filesystem image to make at ``path``, ``size`` in bytes, 0 when not given; ``uuid`` may be empty."""

    path: str
    size: int
    filesystem: str = "ext4"
    uuid: str = ""


def take_directories(mount: Mount) -> tuple[Mount, list[Directory]]:
    """Take the `X-containerd.mkdir.` options out of a mount. Raises InvalidArgument naming the option."""
    directories: list[Directory] = []

    def take(option: str) -> None:
        name, _, value = option[len(MKDIR_OPTION) :].partition("=")
        if name != "path":
            raise InvalidArgument("mount option", option, f"only {MKDIR_OPTION}path= is known")
        directories.append(_directory(option, value))

    return _without(mount, MKDIR_OPTION, take), directories


def _directory(option: str, value: str) -> Directory:
    path, *rest = value.split(":")
    if not path.startswith("/") or ".." in path.split("/") or len(rest) not in (0, 1, 3):
        raise InvalidArgument("mount option", option, "give an absolute path, then :MODE or :MODE:UID:GID")
    try:
        mode = int(rest[0], 8) if rest else 0o700
        owner = (int(rest[1]), int(rest[2])) if len(rest) == 3 else (-1, -1)
    except ValueError as error:
        raise InvalidArgument("mount option", option, "the mode is octal, the owner numbers") from error
    if not 0 <= mode <= 0o7777:
        raise InvalidArgument("mount option", option, "the mode is at most 07777")
    return Directory(path, mode, *owner)


def take_image(mount: Mount) -> tuple[Mount, Image]:
    """Take the `X-containerd.mkfs.` options out of a mount. Raises InvalidArgument naming option or mount."""
    found: dict[str, str] = {}

    def take(option: str) -> None:
        name, _, value = option[len(MKFS_OPTION) :].partition("=")
        if name not in ("size", "fs", "uuid"):
            raise InvalidArgument("mount option", option, f"known are {MKFS_OPTION}size, .fs and .uuid")
        found[name] = value

    bare = _without(mount, MKFS_OPTION, take)
    filesystem, uuid = found.get("fs", "ext4"), found.get("uuid", "")
    size = parse_bytes(found["size"]) if "size" in found else 0
    if filesystem not in FILESYSTEMS:
        raise InvalidArgument("filesystem", filesystem, f"one of {', '.join(FILESYSTEMS)} can be made")
    if uuid and not _UUID.match(uuid):
        raise InvalidArgument("filesystem UUID", uuid, "give 32 hexadecimal digits in groups of 8-4-4-4-12")
    if not mount.source.startswith("/") or ".." in mount.source.split("/"):
        raise InvalidArgument("image file", mount.source, "give an absolute path")
    return bare, Image(mount.source, size, filesystem, uuid)


def _without(mount: Mount, prefix: str, take: Callable[[str], None]) -> Mount:
    """Hand the options that start with ``prefix`` to ``take``; return the mount without them."""
    kept: list[str] = []
    for option in mount.options:
        if option.startswith(prefix):
            take(option)
        else:
            kept.append(option)
    return replace(mount, options=tuple(kept))


def adaptor(activation: Activation) -> Adaptor:
    """The fields that filters see: ``name`` and ``labels``."""

    def field_of(path: Sequence[str]) -> tuple[str, bool]:
        if path[0] == "name":
            return text_field(activation.name)
        return map_field(activation.labels, path[1:]) if path[0] == "labels" else ABSENT

    return field_of
