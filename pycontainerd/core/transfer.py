"""Transfers: images moved between registries, archives and the image store, and what is told of it meanwhile.

The values follow the messages of ``containerd.types.transfer``; byte streams are plain file objects, so an engine does
not know whether a client's stream, a pipe or a file is behind them.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from pycontainerd.core.images import Image
    from pycontainerd.core.values import Descriptor, Platform


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a transfer; ``progress`` and ``total`` in bytes, ``parents`` the names of what contains this."""

    event: str
    name: str = ""
    parents: tuple[str, ...] = ()
    progress: int = 0
    total: int = 0
    descriptor: Descriptor | None = None


Report = Callable[[Progress], None]
"""Receives progress from any thread and should not block for long; raising Cancelled gives the transfer up."""


def silent(progress: Progress) -> None:
    """The report of a caller who does not look."""


class AuthType(enum.Enum):
    """How credentials are meant (``containerd.types.transfer.AuthType``)."""

    NONE = 0
    CREDENTIALS = 1
    REFRESH = 2
    HEADER = 3


@dataclass(frozen=True, slots=True)
class AuthChallenge:
    """What a registry answered: ``challenges`` are its WWW-Authenticate headers."""

    host: str
    reference: str
    challenges: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Credentials:
    """CREDENTIALS: user and password; REFRESH: an identity token; HEADER: a whole Authorization value."""

    kind: AuthType = AuthType.NONE
    username: str = ""
    secret: str = field(default="", repr=False)
    expires_at: datetime | None = None


Authenticate = Callable[[AuthChallenge], Credentials | None]
"""Asks the client for credentials; None means to go on without."""


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """How a registry is reached: ``host_dir`` is a certs.d directory, ``default_scheme`` http or https (empty: http
    for loopback only)."""

    host_dir: str = ""
    default_scheme: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    authenticate: Authenticate | None = None


@dataclass(frozen=True, slots=True)
class ImageReference:
    """A further name under which to store (``containerd.types.transfer.ImageReference``)."""

    name: str
    is_prefix: bool = False
    allow_overwrite: bool = False
    add_digest: bool = False
    skip_named_digest: bool = False


@dataclass(frozen=True, slots=True)
class Unpack:
    """A platform to unpack; an empty ``snapshotter`` means the server's default."""

    platform: Platform
    snapshotter: str = ""


@dataclass(frozen=True, slots=True)
class ImageTarget:
    """The image store as source or destination. No ``platforms`` means all of them."""

    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[Platform, ...] = ()
    all_metadata: bool = False
    manifest_limit: int = 0
    extra_references: tuple[ImageReference, ...] = ()
    unpacks: tuple[Unpack, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What goes into an archive. No ``platforms`` and not ``all_platforms`` means the host's, else what is here."""

    platforms: tuple[Platform, ...] = ()
    all_platforms: bool = False
    skip_compatibility_manifest: bool = False
    skip_non_distributable: bool = False


PLAIN_EXPORT = ExportOptions()
"""Nothing special asked."""


class Reader(Protocol):
    """The reading half of a file object."""

    def read(self, size: int, /) -> bytes: ...


class Writer(Protocol):
    """The writing half of a file object; a short write is the implementer's business, not the caller's."""

    def write(self, data: bytes, /) -> object: ...


class Transfers(Protocol):
    """The transfer engine. Every call blocks until it is done; a lease guards what has no name yet.

    All raise NotFound, InvalidArgument, Unavailable (network), Unauthenticated, PermissionDenied, ResourceExhausted.
    """

    def pull(
        self,
        namespace: str,
        reference: str,
        target: ImageTarget,
        *,
        registry: RegistryOptions,
        progress: Report = silent,
        lease: str = "",
    ) -> Sequence[Image]:
        """Fetch ``reference``, unpack as asked, store under the target's names."""

    def push(
        self,
        namespace: str,
        source: ImageTarget,
        reference: str,
        *,
        registry: RegistryOptions,
        progress: Report = silent,
    ) -> None:
        """Send an image to a registry. Raises Unimplemented."""

    def import_archive(
        self,
        namespace: str,
        stream: Reader,
        target: ImageTarget,
        *,
        compress: bool = False,
        progress: Report = silent,
        lease: str = "",
    ) -> Sequence[Image]:
        """Read an OCI layout or docker archive (plain, gzip or zstd); ``compress`` gzips plain docker layers."""

    def export_archive(
        self,
        namespace: str,
        source: ImageTarget,
        stream: Writer,
        *,
        options: ExportOptions = PLAIN_EXPORT,
        progress: Report = silent,
    ) -> None:
        """Write the source's images as an OCI layout that docker can load too."""

    def tag(self, namespace: str, source: ImageTarget, target: ImageTarget) -> Sequence[Image]:
        """Store the source image under the target's names as well."""
