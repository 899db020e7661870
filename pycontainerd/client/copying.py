"""Files between the host and containers: archives made from the host's files, and unpacked among them.

Which name what gets is ``ctr.cp``'s decision. What comes out of a container is extracted with the extractor of layers:
below one directory descriptor, following no link that an archive brought along.
"""

from __future__ import annotations

import os
import tarfile

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.images.extract import Extractor, clean
from pycontainerd.images.layerdirs import Meta, dress
from pycontainerd.images.tarreader import DIRECTORY, TarReader
from pycontainerd.images.tarstream import ByteStream, Limits, TarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO, Any

    from pycontainerd.images.tarreader import Entry


class _Named(Extractor):
    """Extracts under other names and owners: ``name`` replaces that of the one file, owners are ours unless kept; every
    name is taken as it is. ``top`` keeps the looks of the archive's top."""

    top: Meta | None = None

    def __init__(self, root: int, name: str, *, keep_owners: bool) -> None:
        super().__init__(root)
        self._name, self._keep_owners = os.fsencode(name), keep_owners

    def _apply(self, entry: Entry) -> None:
        if self._name and clean(entry.name):
            entry.name = self._name
        if not self._keep_owners:
            entry.uid, entry.gid = os.geteuid(), os.getegid()
        if clean(entry.name):
            super()._apply(entry)
        elif entry.kind == DIRECTORY:
            self.top = Meta(entry.mode, entry.uid, entry.gid, max(entry.mtime, 0), entry.xattrs)

    def _whiteout(self, entry: Entry, parent: bytes, base: bytes) -> None:
        path = parent + b"/" + base if parent else base
        self._make[entry.kind](entry, path, self._dirs.open(parent), base)


def extract(pieces: Iterator[bytes], directory: str, *, name: str = "", keep_owners: bool, dress_top: bool) -> None:
    """Unpack a tar below a directory of the host; with ``name`` its one file gets that name there.

    ``dress_top``: the directory itself gets the looks of the archive's top. Raises InvalidArgument, OSError.
    """
    root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    before = os.umask(0)
    try:
        limits = Limits(bytes=0, entries=0, ratio=0, free=0)
        stream = ByteStream(lambda: next(pieces, b""))
        extractor = _Named(root, name, keep_owners=keep_owners)
        extractor.apply(TarReader(stream, limits))
        for _ in pieces:
            pass
        if extractor.top is not None and dress_top:
            dress(root, extractor.top)
    except TarError as error:
        raise InvalidArgument("archive", directory, str(error)) from error
    finally:
        os.umask(before)
        os.close(root)


def pack(out: Any, source: str, name: str, *, keep_owners: bool, follow: bool) -> None:
    """Write a file or tree of the host as a tar into ``out``, its top called ``name`` (empty: only what is in it)."""

    def owned(member: tarfile.TarInfo) -> tarfile.TarInfo:
        if not keep_owners:
            member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    if follow:
        source = os.path.realpath(source)
    with tarfile.open(mode="w|", fileobj=out, format=tarfile.PAX_FORMAT, bufsize=1 << 16) as archive:
        if name:
            archive.add(source, name, filter=owned)
        else:
            for entry in sorted(os.listdir(source)):
                archive.add(os.path.join(source, entry), entry, filter=owned)


def renamed(pieces: Iterator[bytes], top: str, out: IO[bytes]) -> None:
    """Write the tar of a container's path with ``top`` before all names, as Docker's ``cp … -`` does."""
    with (
        tarfile.open(mode="r|", fileobj=_Reader(pieces)) as source,  # type: ignore[call-overload]
        tarfile.open(mode="w|", fileobj=out, format=tarfile.PAX_FORMAT) as target,
    ):
        for member in source:
            directory = member.name in (".", "./")
            inner = member.name.removeprefix("./")
            only_file = "/" not in inner and inner == os.path.basename(top) and not member.isdir()
            member.name = top if directory or only_file else f"{top}/{inner}"
            member.pax_headers.pop("path", None)
            if member.islnk():
                member.linkname = f"{top}/{member.linkname.removeprefix('./')}"
                member.pax_headers.pop("linkpath", None)
            target.addfile(member, source.extractfile(member) if member.isreg() else None)


class _Reader:
    """The pieces of a stream as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, fewer only at the end."""
        while len(self._rest) < size:
            piece = next(self._pieces, b"")
            if not piece:
                break
            self._rest += piece
        data, self._rest = self._rest[:size], self._rest[size:]
        return data
