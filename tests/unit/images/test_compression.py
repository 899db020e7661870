from __future__ import annotations

import gzip
import io
import random
import subprocess
import zlib
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pycontainerd.images.compression import GZIP, PIECE, PLAIN, ZSTD, compressor, decompress, detect
from pycontainerd.images.tarstream import TarError

NOISE = random.Random(7).randbytes(300_000)
MIXED = NOISE + bytes(3_000_000) + b"words and words " * 50_000


def reading(data: bytes, step: int = 1 << 20) -> Callable[[int], bytes]:
    stream = io.BytesIO(data)
    return lambda size: stream.read(min(size, step))


def packed(kind: str, data: bytes) -> bytes:
    packer = compressor(kind)
    return packer.compress(data) + packer.flush()


def unpacked(data: bytes, step: int = 1 << 20, kind: str | None = None) -> bytes:
    return b"".join(decompress(reading(data, step), kind))


@pytest.mark.parametrize("kind", [GZIP, ZSTD, PLAIN])
@pytest.mark.parametrize("step", [1 << 20, 4097])
def test_round_trip(kind: str, step: int) -> None:
    blob = packed(kind, MIXED)
    assert detect(blob) == kind
    assert unpacked(blob, step) == MIXED
    assert packed(kind, MIXED) == blob


def test_others_read_what_we_write() -> None:
    assert gzip.decompress(packed(GZIP, MIXED)) == MIXED
    assert zstandard.ZstdDecompressor().decompressobj().decompress(packed(ZSTD, MIXED)) == MIXED


@pytest.mark.parametrize("arguments", [["-1"], ["-19"], ["--long=27"], ["--no-check"], ["-T2"]])
def test_we_read_what_zstd_writes(arguments: list[str]) -> None:
    blob = subprocess.run(["zstd", "-q", "-c", *arguments], input=MIXED, stdout=subprocess.PIPE, check=True).stdout
    assert unpacked(blob) == MIXED


@pytest.mark.parametrize("kind", [GZIP, ZSTD])
def test_several_members_are_one_stream(kind: str) -> None:
    assert unpacked(packed(kind, b"one") + packed(kind, b"") + packed(kind, b"two"), 7) == b"onetwo"


def test_skippable_zstd_frames_are_skipped() -> None:
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"12345"
    assert unpacked(skippable + packed(ZSTD, b"data") + skippable) == b"data"


def test_padding_behind_gzip_is_let_pass_but_no_garbage() -> None:
    assert unpacked(packed(GZIP, b"x") + bytes(10)) == b"x"
    with pytest.raises(TarError):
        unpacked(packed(GZIP, b"x") + b"garbage")
    with pytest.raises(TarError, match="garbage"):
        unpacked(packed(ZSTD, b"x") + b"garbage")


@pytest.mark.parametrize("kind", [GZIP, ZSTD])
@pytest.mark.parametrize("cut", [1, 4, 9, 1000, 100_000])
def test_truncation_is_noticed(kind: str, cut: int) -> None:
    with pytest.raises(TarError, match="truncated"):
        unpacked(packed(kind, MIXED)[:-cut])


@pytest.mark.parametrize("kind", [GZIP, ZSTD])
def test_a_wrong_checksum_is_noticed(kind: str) -> None:
    blob = bytearray(packed(kind, MIXED))
    blob[-6 if kind == GZIP else -1] ^= 1
    with pytest.raises(TarError, match="broken"):
        unpacked(bytes(blob))


@pytest.mark.parametrize("kind", [GZIP, ZSTD])
def test_pieces_are_bounded_however_well_it_compresses(kind: str) -> None:
    blob = packed(kind, bytes(64 << 20))
    sizes = [len(piece) for piece in decompress(reading(blob))]
    assert sum(sizes) == 64 << 20
    assert max(sizes) <= PIECE


def test_a_huge_window_is_refused() -> None:
    blob = subprocess.run(
        ["zstd", "-q", "-c", "--ultra", "-1", "--long=31"], input=MIXED, stdout=subprocess.PIPE, check=True
    ).stdout
    header = bytearray(blob)
    if not header[4] & 0x20:  # no single segment: the window descriptor says 2 GiB
        with pytest.raises(TarError):
            unpacked(blob)


def test_an_empty_stream_is_empty() -> None:
    assert unpacked(b"") == b""


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([GZIP, ZSTD]), st.data())
def test_damaged_streams_never_do_worse_than_an_error(kind: str, data: st.DataObject) -> None:
    blob = bytearray(packed(kind, b"some text, " * 400 + NOISE[:500]))
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(4, len(blob) - 1))] = data.draw(st.integers(0, 255))
    try:
        unpacked(bytes(blob), 64)
    except TarError:
        pass


def test_gzip_with_a_name_in_its_header() -> None:
    out = io.BytesIO()
    with gzip.GzipFile("name.txt", "wb", fileobj=out) as file:
        file.write(b"hello")
    assert unpacked(out.getvalue(), 3) == b"hello"
    assert zlib.crc32(b"") == 0
