"""Runtimes: from what a container asks for to a shim and an OCI runtime. Decisions only; probing is elsewhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycontainerd.core.errors import Unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RUNC_V2 = "io.containerd.runc.v2"
"""The name nearly every client sends. It means the built-in shim unless the configuration maps it to a binary."""
OURS = ("io.containerd.pycontainerd.v1", "io.containerd.pycontainerd.v2")
"""Names of the built-in shim itself; whatever version, it is one shim."""
RUNC_OPTIONS = "containerd.runc.v1.Options"
"""Type name of the create options that runc-like shims understand."""

_PART = re.compile(r"[A-Za-z0-9_-]+\Z")
_VERSION = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """What the configuration says of one runtime name; empty fields leave the default.

    ``shim``: path of a shim binary to use in place of the built-in one. ``binary``: the OCI runtime (name or path).
    ``root``: where the OCI runtime keeps its state. ``systemd_cgroup``: let systemd make the cgroups.
    """

    shim: str = ""
    binary: str = ""
    root: str = ""
    systemd_cgroup: bool = False


@dataclass(frozen=True, slots=True)
class ShimChoice:
    """Which shim serves a container: the built-in one (``binary`` empty) or a binary by name or absolute path."""

    binary: str = ""

    @property
    def builtin(self) -> bool:
        return not self.binary


def choose_shim(runtime: str, runtime_path: str, configured: Mapping[str, RuntimeConfig]) -> ShimChoice:
    """Decide by the create request's path, then the configuration, then the container's runtime name.

    Raises Unknown for a name or path no binary can be derived from: the contract leaves these errors unmapped.
    """
    if runtime_path:
        return ShimChoice(binary_name(runtime_path))
    name = runtime or RUNC_V2
    config = configured.get(name)
    if config is not None and config.shim:
        return ShimChoice(binary_name(config.shim))
    if name == RUNC_V2 or name in OURS or config is not None:
        return ShimChoice()
    return ShimChoice(binary_name(name))


def binary_name(runtime: str) -> str:
    """``io.containerd.runc.v2`` → ``containerd-shim-runc-v2``; an absolute path stands for itself."""
    if runtime.startswith("/"):
        return runtime
    parts = runtime.split(".")
    if "/" in runtime or len(parts) < 2 or not all(_PART.match(part) for part in parts):
        raise Unknown("invalid runtime name", runtime, "use a name such as io.containerd.runc.v2 or an absolute path")
    return f"containerd-shim-{parts[-2]}-{parts[-1]}"


def spec_line(oci_version: str) -> str:
    """The ``major.minor`` a runtime accepts or refuses as one: ``1.0.2-dev`` → ``1.0``; unreadable ones → ``1.0``."""
    match = _VERSION.match(oci_version)
    return f"{match[1]}.{match[2]}" if match else "1.0"


def choose_binary(
    asked: str, config: RuntimeConfig, oci_version: str, works: Callable[[str, str], bool], default: str = ""
) -> str:
    """Decide on the OCI runtime: what the container asks for, what is configured, else crun where it works, else runc.

    ``works(binary, spec_line)`` says whether a runtime runs a container of that spec version on this host.
    """
    chosen = asked or config.binary or default
    if chosen:
        return chosen
    return "crun" if works("crun", spec_line(oci_version)) else "runc"


def is_crun(binary: str) -> bool:
    """Whether a runtime binary is crun by its name."""
    return binary.rpartition("/")[2].startswith("crun")


def is_legacy_stdin(version_text: str) -> bool | None:
    """Whether a shim's ``-v`` output tells of a containerd line before 2.3, which reads bare options on stdin.

    None when the text is not in containerd's own shape: such shims decide by themselves.
    """
    match = re.search(r"^\s*Version:\s+v?(\d+)\.(\d+)", version_text, re.MULTILINE)
    if match is None:
        return None
    return (int(match[1]), int(match[2])) < (2, 3)
