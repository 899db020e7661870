"""What the runtime engine reads in a container's OCI spec, and the few bytes of it that it changes.

The spec goes into the bundle as the client sent it. Only ``annotations`` is touched (commands to the OCI runtime that a
client must not give are taken out, and the ready-made seccomp filter is put in), ``mounts`` when the container has
volumes, and ``linux.namespaces`` when its network is the daemon's. Everything else stays byte for byte.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.spec_mounts import with_asked_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

BPF_ANNOTATION = "run.oci.seccomp_bpf_data"
"""crun: the seccomp filter to load, base64, in place of compiling ``linux.seccomp``."""
REFUSED_ANNOTATIONS = frozenset({
    BPF_ANNOTATION,  # would put any filter, or none, in place of the declared profile
    "run.oci.seccomp.plugins",  # loads shared objects of the host into crun, as root
    "run.oci.seccomp.receiver",  # hands the seccomp listener to any socket of the host
    "run.oci.pidfd_receiver",  # hands the container's pidfd to any socket of the host
    "run.oci.hooks.stdout",  # opens any file of the host for writing, as root
    "run.oci.hooks.stderr",
    "run.oci.keep_original_groups",  # the daemon's own groups are not a container's
})  # fmt: skip
"""Annotations by which a client would command crun itself, past what the spec says; they are removed."""

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the spec's top-level object; the value stands at ``text[start:end]``."""

    key: str
    value: object
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SpecView:
    """A parsed spec. A repeated key keeps its last value here, as JSON readers mostly have it."""

    text: str
    members: tuple[Member, ...]
    top: Mapping[str, object] = field(default_factory=dict)

    def section(self, name: str) -> Mapping[str, object]:
        """A top-level object, empty when absent."""
        value = self.top.get(name)
        return value if isinstance(value, dict) else {}

    @property
    def oci_version(self) -> str:
        value = self.top.get("ociVersion")
        return value if isinstance(value, str) else ""

    @property
    def annotations(self) -> Mapping[str, object]:
        return self.section("annotations")

    @property
    def seccomp(self) -> Mapping[str, object] | None:
        """``linux.seccomp``; None when there is none, or when two ``linux`` members leave open which one counts."""
        value = self.section("linux").get("seccomp")
        unique = sum(member.key == "linux" for member in self.members) == 1
        return value if isinstance(value, dict) and unique else None

    @property
    def root_group(self) -> int | None:
        """The host's gid of the container's root under a user namespace; None without one."""
        mappings = self.section("linux").get("gidMappings")
        for mapping in mappings if isinstance(mappings, list) else ():
            if isinstance(mapping, dict) and mapping.get("containerID") == 0 and isinstance(mapping.get("hostID"), int):
                return int(mapping["hostID"])
        return None


def read_spec(value: bytes) -> SpecView:
    """Parse a spec. Raises InvalidArgument for anything but a JSON object."""
    try:
        text = value.decode()
        members = tuple(_members(text))
    except (ValueError, RecursionError) as error:
        raise InvalidArgument("container spec", hint=f"is not a JSON object: {error}") from error
    _check_cgroup(members)
    return SpecView(text, members, {member.key: member.value for member in members})


def _check_cgroup(members: Sequence[Member]) -> None:
    """Raise InvalidArgument for a control group that leads out of its hierarchy: crun makes directories there."""
    for member in members:
        path = member.value.get("cgroupsPath") if member.key == "linux" and isinstance(member.value, dict) else None
        if isinstance(path, str) and ".." in path.split("/"):
            raise InvalidArgument("cgroup path", path, "it must not lead upwards; name a group such as /group/name")


def _members(text: str) -> Iterator[Member]:
    position = _skip(text, 0)
    _expect(text, position, "{")
    position = _skip(text, position + 1)
    separator = ""
    while text[position : position + 1] != "}" or separator == ",":
        key, position = _DECODER.raw_decode(text, position)
        if not isinstance(key, str):
            raise ValueError(f"member name expected at {position}")
        position = _skip(text, position)
        _expect(text, position, ":")
        start = _skip(text, position + 1)
        value, end = _DECODER.raw_decode(text, start)
        yield Member(key, value, start, end)
        position = _skip(text, end)
        separator = text[position : position + 1]
        if separator not in {",", "}"}:
            raise ValueError(f"',' or '}}' expected at {position}")
        if separator == ",":
            position = _skip(text, position + 1)
    if _skip(text, position + 1) != len(text):
        raise ValueError(f"text after the object at {position + 1}")


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _expect(text: str, position: int, char: str) -> None:
    if text[position : position + 1] != char:
        raise ValueError(f"{char!r} expected at {position}")


def bundle_config(
    view: SpecView, bpf: str = "", mounts: Sequence[dict[str, object]] = (), netns: str | None = None
) -> bytes:
    """The text of ``config.json``: the spec without refused annotations, with the filter ``bpf`` (base64), if any, with
    the ``mounts`` that the daemon made ready, and in the network namespace at ``netns`` ("" is the host's).

    Every member called ``annotations`` is looked at, since readers disagree on which one of two counts.
    """
    text = _with_annotations(view, bpf)
    if mounts:
        text = _with_propagation(_with_mounts(text, mounts), mounts)
    return (text if netns is None else _with_netns(text, netns)).encode()


def _with_annotations(view: SpecView, bpf: str) -> str:
    text, found = view.text, False
    for member in reversed(view.members):
        if member.key != "annotations":
            continue
        kept = _kept(member.value)
        if bpf:
            kept = {**kept, BPF_ANNOTATION: bpf}
        found = True
        if kept != member.value:
            text = text[: member.start] + json.dumps(kept) + text[member.end :]
    if bpf and not found:
        text = _with_member(text, f'"annotations":{{"{BPF_ANNOTATION}":"{bpf}"}}')
    return text


def _with_mounts(text: str, mounts: Sequence[dict[str, object]]) -> str:
    """The spec with further mounts in their places among its own. Raises InvalidArgument when its own are no list."""
    members = [member for member in _members(text) if member.key == "mounts"]
    own = members[-1].value if members else []
    if own is None:
        own = []
    if not isinstance(own, list) or not all(isinstance(item, dict) for item in own):
        raise InvalidArgument("mounts of the container spec", hint="they are not a list of objects")
    together = json.dumps(with_asked_for(own, mounts))
    for member in reversed(members):
        text = text[: member.start] + together + text[member.end :]
    return text if members else _with_member(text, f'"mounts":{together}')


def _with_propagation(text: str, mounts: Sequence[dict[str, object]]) -> str:
    """The spec with a root file system that lets through what a mount is to share, as Docker has it: of a private one
    nothing below would hear of the host's mounts, nor the host of its."""
    wanted = {option for mount in mounts for option in _options(mount)}
    if not wanted & {*_SHARED, *_SLAVE}:
        return text

    def change(linux: Mapping[str, object]) -> dict[str, object]:
        shared = bool(wanted & set(_SHARED))
        enough = _SHARED if shared else (*_SHARED, *_SLAVE)
        if linux.get("rootfsPropagation") in enough:
            return dict(linux)
        return {**linux, "rootfsPropagation": "shared" if shared else "rslave"}

    return _with_linux(text, change)


_SHARED, _SLAVE = ("shared", "rshared"), ("slave", "rslave")


def _options(mount: Mapping[str, object]) -> list[object]:
    options = mount.get("options")
    return options if isinstance(options, list) else []


def _with_netns(text: str, netns: str) -> str:
    """The spec with one network namespace, or none for the host's. Raises InvalidArgument for a ``linux`` of no use."""
    return _with_linux(text, lambda linux: {**linux, "namespaces": _namespaces(linux.get("namespaces"), netns)})


def _with_linux(text: str, change: Callable[[Mapping[str, object]], dict[str, object]]) -> str:
    members = [member for member in _members(text) if member.key == "linux"]
    if not members:
        return _with_member(text, f'"linux":{json.dumps(change({}))}')
    for member in reversed(members):
        if not isinstance(member.value, dict):
            raise InvalidArgument("linux of the container spec", hint="it is not an object")
        text = text[: member.start] + json.dumps(change(member.value)) + text[member.end :]
    return text


def _namespaces(own: object, netns: str) -> list[object]:
    if own is not None and not isinstance(own, list):
        raise InvalidArgument("namespaces of the container spec", hint="they are not a list")
    kept = [item for item in own or () if not (isinstance(item, dict) and item.get("type") == "network")]
    return [*kept, {"type": "network", "path": netns}] if netns else kept


def _with_member(text: str, member: str) -> str:
    brace = text.index("{") + 1
    comma = "," if next(_members(text), None) is not None else ""
    return f"{text[:brace]}{member}{comma}{text[brace:]}"


def _kept(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        return {}
    return {key: item for key, item in value.items() if key not in REFUSED_ANNOTATIONS}
