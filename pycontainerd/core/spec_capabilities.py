"""Linux capabilities: Docker's default set and what ``--cap-add``, ``--cap-drop`` and ``--privileged`` make of it."""

from __future__ import annotations

from pycontainerd.core.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

ALL = tuple(
    "CAP_" + name
    for name in (
        "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
        "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT "
        "SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL "
        "SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
    ).split()
)
"""Every capability, in the kernel's order: the index is the number."""

DEFAULT = (
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)
"""What a container holds when nobody asks for more or less."""

EVERY = "ALL"


def normalize(names: Sequence[str], flag: str) -> list[str]:
    """``net_admin`` and ``CAP_NET_ADMIN`` as the latter, ``all`` as ``ALL``; raise InvalidArgument for others."""
    result = []
    for name in names:
        upper = name.strip().upper()
        full = upper if upper == EVERY or upper.startswith("CAP_") else "CAP_" + upper
        if full != EVERY and full not in ALL:
            raise InvalidArgument(f"{flag}: capability", name, "see capabilities(7) for the names")
        result.append(full)
    return result


def from_mask(mask: int) -> tuple[str, ...]:
    """The capabilities whose bits are set, as in ``CapBnd`` of /proc/self/status."""
    return tuple(name for number, name in enumerate(ALL) if mask >> number & 1)


def granted(
    add: Sequence[str] = (), drop: Sequence[str] = (), *, privileged: bool = False, available: Collection[str] = ALL
) -> list[str]:
    """The set a container gets. ``available`` is what the host can give; "all" means those.

    A capability that was asked for by name and is not available is an InvalidArgument: nobody should believe in it.
    """
    added, dropped = normalize(add, "--cap-add"), normalize(drop, "--cap-drop")
    every = [name for name in ALL if name in available]
    if privileged:
        return every
    missing = [name for name in added if name != EVERY and name not in available]
    if missing:
        raise InvalidArgument(f"--cap-add: this host cannot give {missing[0]}", hint="see CapBnd in /proc/self/status")
    if EVERY in dropped:
        return every if EVERY in added else [name for name in every if name in added]
    if EVERY in added:
        return [name for name in every if name not in dropped]
    return [name for name in every if (name in DEFAULT and name not in dropped) or name in added]
