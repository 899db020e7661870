"""Content digests: ``algorithm:hex`` with exact lower-case length (OCI image-spec, descriptor.md)."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from pycontainerd.core.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

ALGORITHMS = {"sha256": 64, "sha384": 96, "sha512": 128}
"""Accepted algorithms and the length of their hex form."""

_HEX = re.compile(r"[0-9a-f]+\Z")


def validate_digest(value: str) -> str:
    """Return ``value`` when it is a well-formed digest; raise InvalidArgument otherwise."""
    algorithm, colon, encoded = value.partition(":")
    if not colon or ALGORITHMS.get(algorithm) != len(encoded) or not _HEX.match(encoded):
        raise InvalidArgument("digest", value[:200], "want sha256, sha384 or sha512, a colon and lower-case hex")
    return value


def split_digest(value: str) -> tuple[str, str]:
    """Return (algorithm, hex) of a valid digest; raise InvalidArgument."""
    algorithm, _, encoded = validate_digest(value).partition(":")
    return algorithm, encoded


def of_bytes(data: bytes, algorithm: str = "sha256") -> str:
    """The digest of ``data``."""
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def chain_id(diff_ids: Sequence[str]) -> str:
    """The chain id of a layer stack (OCI image-spec, config.md, layer ChainID); empty for no layers."""
    chain = ""
    for diff_id in diff_ids:
        chain = diff_id if not chain else of_bytes(f"{chain} {diff_id}".encode())
    return chain


def chain_ids(diff_ids: Sequence[str]) -> list[str]:
    """The chain id after each layer."""
    result: list[str] = []
    for diff_id in diff_ids:
        result.append(diff_id if not result else of_bytes(f"{result[-1]} {diff_id}".encode()))
    return result
