"""Small values that several nouns share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""The Unix epoch, aware."""


@dataclass(frozen=True, slots=True)
class AnyValue:
    """A typed opaque value as it travels in google.protobuf.Any; engines store it verbatim."""

    type_url: str = ""
    value: bytes = b""

    @property
    def name(self) -> str:
        """The full message name: what stands after the last slash of the type URL, where there is a known prefix."""
        prefix, _, rest = self.type_url.partition("/")
        return rest if prefix == "type.googleapis.com" else self.type_url


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A content descriptor (OCI image-spec, descriptor.md)."""

    media_type: str = ""
    digest: str = ""
    size: int = 0
    annotations: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount as the API carries it: ``type``, ``source``, ``target`` (relative, mostly empty) and option strings."""

    type: str
    source: str
    target: str = ""
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Platform:
    """An image platform (OCI image-spec, image-index.md)."""

    os: str = "linux"
    architecture: str = ""
    variant: str = ""
    os_version: str = ""
