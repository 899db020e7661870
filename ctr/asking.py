"""Asking before something is removed, and saying what was."""

from __future__ import annotations

import sys

from pycontainerd.core.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def confirmed(warning: str) -> bool:
    """Whether the user types y or yes; no on an empty input."""
    print(f"WARNING! {warning}")
    print("Are you sure you want to continue? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def removed(heading: str, names: Sequence[str]) -> None:
    """A list of what is gone, if there is any."""
    if names:
        print(heading)
        print("\n".join(names))
        print()


def reclaimed(size: int) -> None:
    """The last line of every prune."""
    print(f"Total reclaimed space: {human_size(size)}")
