"""Names: how people call containers, and which container a reference means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pycontainerd.core.errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_HEX = "0123456789abcdef"
SHOWN = 5
"""Candidates that an ambiguous reference is answered with."""


@dataclass(frozen=True, slots=True)
class Name:
    """A name and whose it is; not ``bound`` while the container is still to be made."""

    name: str
    container: str
    reserved_at: datetime
    bound: bool


def plain(reference: str) -> str:
    """A reference without Docker's leading slash. Raises NotFound for what can be neither a name nor an id."""
    text = reference.removeprefix("/")
    if not text or not text.isprintable():
        raise NotFound(f"No such container: {reference}")
    return text


def may_be_id(text: str) -> bool:
    """Whether a reference can be the beginning of an id that we have made."""
    return bool(text) and not text.strip(_HEX)


def choose(reference: str, candidates: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """The one container (id, name) whose id begins as the reference says. Raises NotFound; InvalidArgument when there
    are several, naming them.
    """
    if not candidates:
        raise NotFound(f"No such container: {reference}")
    if len(candidates) > 1:
        shown = ", ".join(f"{key[:12]} ({name})" if name else key[:12] for key, name in candidates[:SHOWN])
        more = ", …" if len(candidates) > SHOWN else ""
        raise InvalidArgument(f"{reference} is the beginning of several ids: {shown}{more}", hint="give more digits")
    return candidates[0]


class NameStore(Protocol):
    """Names by namespace."""

    def reserve(self, namespace: str, names: Sequence[str], container: str) -> str:
        """Take the first free one. Raises AlreadyExists, saying who has the last; InvalidArgument for a bad name."""

    def release(self, namespace: str, name: str, container: str) -> None: ...

    def resolve(self, namespace: str, reference: str) -> tuple[str, str]:
        """The (id, name) that a reference means. Raises NotFound, InvalidArgument."""

    def rename(self, namespace: str, container: str, name: str) -> str:
        """Give a container another name; return the old one. Raises AlreadyExists, NotFound, InvalidArgument."""

    def list(self, namespace: str, containers: Sequence[str] = ()) -> Sequence[Name]: ...
