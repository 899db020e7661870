from __future__ import annotations

import io
import tarfile

from hypothesis import given, settings
from hypothesis import strategies as st

from pycontainerd.images import tarreader as tr
from pycontainerd.images.tarstream import ByteStream
from pycontainerd.images.tarwriter import END, member, padding

NAMES = st.binary(min_size=1, max_size=400).filter(
    lambda name: b"\0" not in name and not name.endswith(b"/") and not name.startswith(b"/")
)
BIG = st.integers(0, 1 << 40)


@settings(max_examples=200, deadline=None)
@given(
    NAMES,
    st.binary(max_size=900),
    st.integers(0, 0o7777),
    st.integers(0, 1 << 32),
    st.integers(-(1 << 33), 1 << 35),
    st.dictionaries(st.sampled_from([b"user.a", b"security.capability"]), st.binary(max_size=600)),
)
def test_we_read_what_we_write(
    name: bytes, data: bytes, mode: int, uid: int, mtime: int, xattrs: dict[bytes, bytes]
) -> None:
    written = member(name, tr.REGULAR, mode=mode, uid=uid, gid=uid, size=len(data), mtime=mtime, xattrs=xattrs)
    assert len(written) % 512 == 0
    stream = io.BytesIO(written + data + padding(len(data)) + END)
    reader = tr.TarReader(ByteStream(lambda: stream.read(333)))
    ((entry, content),) = [(entry, reader.data()) for entry in reader]
    assert (entry.name, content, entry.mode, entry.uid, entry.gid) == (name, data, mode, uid, uid)
    assert entry.mtime == mtime * 10**9
    assert (entry.xattrs or {}) == xattrs


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=300), BIG)
def test_the_standard_library_reads_what_we_write(name: str, size: int) -> None:
    data = member(name.encode(), tr.SYMLINK, link=name.encode() * 2) + member(b"big", tr.REGULAR, size=size, uid=size)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:", encoding="utf-8") as archive:
        first, second = archive.next(), archive.next()
    assert first is not None
    assert second is not None
    assert (first.name, first.linkname, first.issym()) == (name.rstrip("/"), name * 2, True)
    assert (second.size, second.uid) == (size, size)


def test_the_same_input_gives_the_same_bytes() -> None:
    attributes = {b"user.b": b"2", b"user.a": b"1"}
    first = member(b"x", tr.REGULAR, xattrs=attributes)
    assert first == member(b"x", tr.REGULAR, xattrs=dict(reversed(attributes.items())))


def test_devices_keep_their_numbers() -> None:
    data = member(b"null", tr.CHARACTER, device=(1, 3), mode=0o666)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        info = archive.next()
    assert info is not None
    assert (info.ischr(), info.devmajor, info.devminor, info.mode) == (True, 1, 3, 0o666)
