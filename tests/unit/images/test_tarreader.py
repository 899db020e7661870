from __future__ import annotations

import io
import tarfile
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycontainerd.images import tarreader as tr
from pycontainerd.images.tarreader import Entry, TarReader
from pycontainerd.images.tarstream import ByteStream, Limits, TarError
from tests.support.images import Member, make_tar


def chunks(data: bytes, size: int) -> Callable[[], bytes]:
    stream = io.BytesIO(data)
    return lambda: stream.read(size)


def read(data: bytes, size: int = 700, limits: Limits | None = None) -> list[tuple[Entry, bytes]]:
    reader = TarReader(ByteStream(chunks(data, size)), limits)
    return [(entry, b"".join(map(bytes, reader.pieces()))) for entry in reader]


def one(data: bytes) -> tuple[Entry, bytes]:
    found = read(data)
    assert len(found) == 1
    return found[0]


def patched(data: bytes, offset: int, value: bytes) -> bytes:
    """The first header with a field replaced, checksum made right."""
    block = bytearray(data[:512])
    block[offset : offset + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + data[512:]


KINDS = [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=300).filter(
    lambda name: bool(name.strip("/")) and not name.startswith("/")
)


@st.composite
def infos(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(draw(NAMES))
    info.type = draw(st.sampled_from(KINDS))
    data = draw(st.binary(max_size=2000)) if info.type == tarfile.REGTYPE else b""
    info.size = len(data)
    info.mode = draw(st.integers(0, 0o7777))
    info.uid, info.gid = draw(st.integers(0, 1 << 31)), draw(st.integers(0, 1 << 31))
    info.mtime = draw(st.integers(0, 1 << 33))
    if info.type in {tarfile.SYMTYPE, tarfile.LNKTYPE}:
        info.linkname = draw(NAMES)
    if info.type == tarfile.CHRTYPE:
        info.devmajor, info.devminor = draw(st.integers(0, 255)), draw(st.integers(0, 255))
    return info, data


@settings(max_examples=150, deadline=None)
@given(st.lists(infos(), max_size=6), st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]), st.integers(1, 3000))
def test_reads_what_the_standard_library_writes(
    members: list[tuple[tarfile.TarInfo, bytes]], format: int, size: int
) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, encoding="utf-8") as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    found = read(out.getvalue(), size)
    assert len(found) == len(members)
    for (entry, content), (info, data) in zip(found, members, strict=True):
        assert entry.name.rstrip(b"/") == info.name.encode().rstrip(b"/")
        assert content == data
        assert (entry.mode, entry.uid, entry.gid) == (info.mode, info.uid, info.gid)
        assert entry.mtime == info.mtime * 10**9
        if info.type in {tarfile.SYMTYPE, tarfile.LNKTYPE}:
            assert entry.link == info.linkname.encode()
        if info.type == tarfile.CHRTYPE:
            assert (entry.major, entry.minor) == (info.devmajor, info.devminor)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damage_is_an_error_or_harmless(data: st.DataObject) -> None:
    members = [Member("d/", "dir"), Member("d/f", data=b"x" * 600, pax={"SCHILY.xattr.user.a": "b"}), Member("y" * 150)]
    archive = bytearray(make_tar(members, data.draw(st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))))
    for _ in range(data.draw(st.integers(1, 6))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    try:
        read(bytes(archive), data.draw(st.integers(1, 2000)))
    except TarError:
        pass


@given(st.binary(max_size=3000))
def test_noise_is_an_error_or_harmless(noise: bytes) -> None:
    try:
        read(noise)
    except TarError:
        pass


def test_content_may_be_left_unread() -> None:
    data = make_tar([Member("a", data=b"1" * 5000), Member("b", data=b"2")])
    assert [entry.name for entry in TarReader(ByteStream(chunks(data, 100)))] == [b"a", b"b"]


def test_base_256_numbers() -> None:
    data = patched(make_tar([Member("a")]), 108, b"\x80" + (3_000_000_000).to_bytes(7, "big"))
    assert one(data)[0].uid == 3_000_000_000
    data = patched(make_tar([Member("a")]), 136, b"\xff" * 11 + b"\xfe")
    assert one(data)[0].mtime == -2 * 10**9


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (124, b"0000000009\0"),  # no octal digit
        (124, b"-0000000001\0"),
        (124, b"0x000000001\0"),
        (124, b"\xff" * 12),  # size -1
        (124, b"\x80" + b"\xff" * 11),  # more than 63 bits
        (156, b"Z"),
        (100, b"\x41bcdefg"),
    ],
)
def test_bad_fields_are_refused(offset: int, value: bytes) -> None:
    with pytest.raises(TarError):
        read(patched(make_tar([Member("a")]), offset, value))


def test_a_bad_checksum_is_refused() -> None:
    data = bytearray(make_tar([Member("a")]))
    data[0] ^= 1
    with pytest.raises(TarError, match="checksum"):
        read(bytes(data))


def test_signed_checksums_of_old_tars_are_accepted() -> None:
    block = bytearray(make_tar([Member("a")])[:512])
    block[0] = 0xE9
    block[148:156] = b" " * 8
    signed = sum(byte - 256 if byte > 127 else byte for byte in block)
    block[148:156] = b"%06o\0 " % signed
    assert one(bytes(block) + bytes(1024))[0].name == b"\xe9"


@pytest.mark.parametrize("cut", [1, 511, 512, 700, 1023])
def test_truncation_inside_an_entry_is_refused(cut: int) -> None:
    data = make_tar([Member("a", data=b"x" * 900)])[: 512 + 1024]
    with pytest.raises(TarError, match="truncated"):
        read(data[: 512 + 1024 - cut])


def test_a_missing_end_is_let_pass_but_not_a_hole() -> None:
    first, second = make_tar([Member("a")])[:512], make_tar([Member("b")])[:512]
    assert [entry.name for entry, _ in read(first + second)] == [b"a", b"b"]
    with pytest.raises(TarError, match="zero block"):
        read(first + bytes(512) + second)


def test_old_directories_and_prefixes() -> None:
    entry, _ = one(patched(make_tar([Member("a")], tarfile.USTAR_FORMAT), 0, b"olddir/"))
    assert entry.kind == tr.DIRECTORY
    long = "p" * 120 + "/" + "n" * 90
    assert one(make_tar([Member(long)], tarfile.USTAR_FORMAT))[0].name == long.encode()


def test_global_headers_give_defaults_but_no_names() -> None:
    out = io.BytesIO()
    headers = {"mtime": "12.5", "path": "evil", "comment": "c"}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers=headers) as archive:
        archive.addfile(tarfile.TarInfo("a"))
    entry, _ = one(out.getvalue())
    assert (entry.name, entry.mtime) == (b"a", 12_500_000_000)


def test_pax_values_override_and_empty_ones_do_not() -> None:
    entry, _ = one(make_tar([Member("a", pax={"uid": "7", "mtime": "1.25", "SCHILY.xattr.user.k": "v"})]))
    assert (entry.uid, entry.mtime, entry.xattrs) == (7, 1_250_000_000, {b"user.k": b"v"})


@pytest.mark.parametrize(
    "record",
    [b"5 a=\n", b"99 path=x\n", b"x path=x\n", b"11 path=x\x00\n", b"8 pathx\n", b"7 =abc\n", b"10 size=-1\n",
     b"11 uid=1e3\n\n", b"12 mtime=1:2\n"],
)  # fmt: skip
def test_malformed_pax_records_are_refused(record: bytes) -> None:
    if record == b"5 a=\n":
        return  # well-formed: an empty value
    header = patched(make_tar([Member("x", data=record)]), 156, b"x")
    with pytest.raises(TarError):
        read(header[:1024] + make_tar([Member("a")]))


def test_huge_extended_headers_are_refused() -> None:
    header = patched(make_tar([Member("x")]), 156, b"L")
    header = patched(header, 124, b"%011o\0" % (2 << 20))
    with pytest.raises(TarError, match="1 MiB"):
        read(header)


def test_limits() -> None:
    data = make_tar([Member(str(i), data=b"x" * 10) for i in range(5)])
    with pytest.raises(TarError, match="more than 4 entries"):
        read(data, limits=Limits(entries=4))
    with pytest.raises(TarError, match="more than 49 bytes"):
        read(data, limits=Limits(bytes=49))
    assert len(read(data, limits=Limits(bytes=50, entries=5))) == 5


def gnu_sparse() -> bytes:
    """An old GNU sparse file with an extension block: runs of 512 at 0, 1024, 2048, 3072, 4096; 10,000 bytes long."""
    offsets = [0, 1024, 2048, 3072, 4096]
    data = make_tar([Member("s", data=b"".join(bytes([65 + i]) * 512 for i in range(5)))], tarfile.GNU_FORMAT)
    runs = b"".join(b"%011o\0%011o\0" % (offset, 512) for offset in offsets[:4])
    head = patched(data, 386, runs + b"\1" + b"%011o\0" % 10_000)
    head = patched(head, 156, b"S")
    extra = (b"%011o\0%011o\0" % (offsets[4], 512)).ljust(512, b"\0")
    return head[:512] + extra + head[512:]


def test_gnu_sparse_files() -> None:
    entry, content = one(gnu_sparse())
    assert entry.size == 10_000
    assert entry.runs == [(0, 512), (1024, 512), (2048, 512), (3072, 512), (4096, 512)]
    assert content == b"".join(bytes([65 + i]) * 512 for i in range(5))


@pytest.mark.parametrize(
    "pax",
    [
        {"GNU.sparse.size": "2000", "GNU.sparse.map": "0,5,1000,5"},
        {
            "GNU.sparse.major": "0",
            "GNU.sparse.minor": "1",
            "GNU.sparse.realsize": "2000",
            "GNU.sparse.map": "0,5,1000,5",
        },
    ],
)
def test_pax_sparse_01(pax: dict[str, str]) -> None:
    entry, content = one(make_tar([Member("s", data=b"helloworld", pax={**pax, "GNU.sparse.name": "real"})]))
    assert (entry.name, entry.size, entry.runs, content) == (b"real", 2000, [(0, 5), (1000, 5)], b"helloworld")


def test_pax_sparse_10_has_its_map_in_the_data() -> None:
    table = b"2\n0\n5\n1000\n5\n".ljust(512, b"\0")
    pax = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "2000", "GNU.sparse.name": "real"}
    entry, content = one(make_tar([Member("s", data=table + b"helloworld", pax=pax)]))
    assert (entry.size, entry.runs, content) == (2000, [(0, 5), (1000, 5)], b"helloworld")


@pytest.mark.parametrize(
    "values", ["0,5,3,5", "5,5,0,5", "0,10,2001,0", "0,5", "0,5,1000", "0,11", "x,1", "0,99999999999999999999"]
)
def test_bad_sparse_maps_are_refused(values: str) -> None:
    pax = {"GNU.sparse.size": "2000", "GNU.sparse.map": values}
    with pytest.raises(TarError):
        read(make_tar([Member("s", data=b"helloworld", pax=pax)]))
