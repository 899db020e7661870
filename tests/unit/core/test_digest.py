"""Digests and chain ids."""

from __future__ import annotations

import hashlib

import pytest

from pycontainerd.core.digest import chain_id, chain_ids, of_bytes, split_digest, validate_digest
from pycontainerd.core.errors import InvalidArgument


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_good_digests(algorithm: str) -> None:
    digest = of_bytes(b"x", algorithm)
    assert validate_digest(digest) == digest
    assert split_digest(digest) == (algorithm, hashlib.new(algorithm, b"x").hexdigest())


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "sha256",
        "sha256:",
        "sha256:" + "a" * 63,
        "sha256:" + "A" * 64,
        "md5:" + "a" * 32,
        "sha256:" + "a" * 64 + "\n",
    ],
)
def test_bad_digests(bad: str) -> None:
    with pytest.raises(InvalidArgument):
        validate_digest(bad)


def test_chain_ids() -> None:
    a, b, c = (of_bytes(text) for text in (b"a", b"b", b"c"))
    second = of_bytes(f"{a} {b}".encode())
    assert chain_ids([a, b, c]) == [a, second, of_bytes(f"{second} {c}".encode())]
    assert chain_id([a, b, c]) == chain_ids([a, b, c])[-1]
    assert chain_id([]) == ""
