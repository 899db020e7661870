"""Platforms: normal form, text form, and which platform of an image fits which host (OCI image-spec, image-index.md).

A host runs more than its own exact platform: an arm/v7 machine runs v6 and v5, a 64-bit one mostly runs the 32-bit
sibling. ``compatible`` lists what fits, best first, and ``rank`` is the place in that list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.values import Platform

if TYPE_CHECKING:
    from collections.abc import Sequence

_ARCHITECTURES = {
    "i386": "386",
    "i486": "386",
    "i586": "386",
    "i686": "386",
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armhf": "arm",
    "armel": "arm",
    "armv5l": "arm",
    "armv6l": "arm",
    "armv7l": "arm",
    "ppc64el": "ppc64le",
    "mips64el": "mips64le",
    "loong64": "loong64",
    "loongarch64": "loong64",
}
_ARM_BY_MACHINE = {"armhf": "v7", "armel": "v6", "armv5l": "v5", "armv6l": "v6", "armv7l": "v7"}
_PART_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


def normalize(platform: Platform) -> Platform:
    """The platform in the words of Go: ``x86_64`` becomes ``amd64``, arm64's default variant is left out."""
    os = platform.os.lower() or "linux"
    os = {"macos": "darwin"}.get(os, os)
    given = platform.architecture.lower()
    architecture = _ARCHITECTURES.get(given, given)
    variant = platform.variant.lower()
    if architecture == "arm64" and variant in {"8", "v8", "v8.0"}:
        variant = ""
    elif architecture == "arm":
        variant = _arm_variant(variant or _ARM_BY_MACHINE.get(given, "v7"))
    elif architecture == "amd64" and variant == "v1":
        variant = ""
    return Platform(os, architecture, variant, platform.os_version)


def _arm_variant(variant: str) -> str:
    return f"v{variant}" if variant in {"5", "6", "7", "8"} else variant


def from_machine(machine: str, os: str = "linux") -> Platform:
    """The platform of a host by its ``uname -m``."""
    return normalize(Platform(os, machine))


def parse(text: str, default: Platform) -> Platform:
    """Read ``os``, ``arch``, ``os/arch`` or ``os/arch/variant``; missing parts come from ``default``.

    Raises InvalidArgument for other forms.
    """
    parts = text.split("/")
    for part in parts:
        if not part or not set(part) <= _PART_CHARACTERS:
            raise InvalidArgument("platform", text, "want os, architecture or os/architecture[/variant]")
    if len(parts) == 1:
        word = parts[0].lower()
        if word in {"linux", "windows", "darwin", "freebsd", "macos"}:
            return normalize(Platform(word, default.architecture, default.variant))
        return normalize(Platform(default.os, word))
    if len(parts) > 3:
        raise InvalidArgument("platform", text, "too many slashes: want os/architecture[/variant]")
    return normalize(Platform(parts[0], parts[1], parts[2] if len(parts) == 3 else ""))


def format_platform(platform: Platform) -> str:
    """``os/architecture[/variant]`` in normal form; ``unknown`` when there is no architecture."""
    if not platform.architecture:
        return "unknown"
    p = normalize(platform)
    return "/".join(part for part in (p.os, p.architecture, p.variant) if part)


def compatible(platform: Platform) -> list[Platform]:
    """What runs on ``platform``, best first; the platform itself leads."""
    p = normalize(platform)
    found = [(p.architecture, variant) for variant in _variants(p.architecture, p.variant)]
    if p.architecture == "arm64":
        found += [("arm", f"v{number}") for number in (8, 7, 6, 5)]
    elif p.architecture == "amd64":
        found.append(("386", ""))
    return [Platform(p.os, architecture, variant, p.os_version) for architecture, variant in found]


def _variants(architecture: str, variant: str) -> list[str]:
    """The variant and those it includes, as normal forms."""
    if architecture == "arm" and variant[1:].isdigit():
        return [f"v{number}" for number in range(int(variant[1:]), 4, -1)] or [variant]
    if architecture == "amd64" and variant[1:].isdigit():
        return [*(f"v{number}" for number in range(int(variant[1:]), 1, -1)), ""]
    if architecture == "arm64" and variant.startswith(("v8.", "v9")):
        return [variant, ""]
    return [variant]


def rank(candidate: Platform, wanted: Sequence[Platform]) -> int | None:
    """How well an image platform fits: 0 is best, None not at all; no wishes are met by everything."""
    if not wanted:
        return 0
    have = normalize(candidate)
    place = 0
    for wish in wanted:
        for option in compatible(wish):
            if (have.os, have.architecture, have.variant) == (option.os, option.architecture, option.variant) and (
                not wish.os_version or not have.os_version or have.os_version == wish.os_version
            ):
                return place
            place += 1
    return None
