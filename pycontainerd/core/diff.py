"""Diffs: layers applied onto mounts, and mounts compared into layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pycontainerd.core.values import AnyValue, Descriptor, Mount

LAYER_TAR = "application/vnd.oci.image.layer.v1.tar"
"""Media type of an uncompressed layer, and of every apply answer."""


class Differ(Protocol):
    """Applies and computes layers."""

    def apply(
        self,
        namespace: str,
        descriptor: Descriptor,
        mounts: Sequence[Mount],
        *,
        payloads: Mapping[str, AnyValue] | None = None,
        sync: bool = False,
    ) -> Descriptor:
        """Extract the blob onto ``mounts``; return media type, size and digest of the uncompressed tar.

        Raises NotFound (no blob), Unknown (media type), InvalidArgument (hostile or broken archive; nothing outside is
        touched), ResourceExhausted (disk full).
        """

    def compare(
        self,
        namespace: str,
        lower: Sequence[Mount],
        upper: Sequence[Mount],
        *,
        media_type: str = "",
        ref: str = "",
        labels: Mapping[str, str] | None = None,
        lease: str = "",
        source_date_epoch: int | None = None,
    ) -> Descriptor:
        """Write the difference as a layer blob labelled ``containerd.io/uncompressed``. Raises Unimplemented (type)."""
