"""Checkpoints to content and back."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pycontainerd.core.bundle import Bundle, bundle_of
from pycontainerd.core.content import IngestStatus
from pycontainerd.core.errors import InvalidArgument, Unimplemented, Unknown
from pycontainerd.core.values import AnyValue, Descriptor
from pycontainerd.runtime.checkpoints import IMAGES, Checkpoints

if TYPE_CHECKING:
    from types import TracebackType


class _Writer:
    def __init__(self, blobs: dict[str, bytes]) -> None:
        self._blobs, self._data = blobs, bytearray()

    def write(self, data: bytes) -> int:
        self._data += data
        return len(self._data)

    def status(self) -> IngestStatus:
        return IngestStatus("ref", len(self._data))

    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self._data).hexdigest()}"

    def commit(self, **expected: Any) -> str:
        assert expected["size"] == len(self._data)
        self._blobs[self.digest()] = bytes(self._data)
        return self.digest()

    def __enter__(self) -> _Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return


class _Content:
    """Blobs in memory, opened through a file."""

    def __init__(self, directory: Path) -> None:
        self.blobs: dict[str, bytes] = {}
        self.leases: list[str] = []
        self._directory = directory

    def writer(self, namespace: str, ref: str, *, lease: str = "") -> _Writer:
        self.leases.append(lease)
        return _Writer(self.blobs)

    def open(self, namespace: str, digest: str) -> Any:
        path = self._directory / digest.replace(":", "-")
        path.write_bytes(self.blobs[digest])
        return path.open("rb")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    bundle = bundle_of(str(tmp_path / "state"), str(tmp_path / "root"), "ns", "c1")
    os.makedirs(bundle.work)
    return bundle


def test_images_go_there_and_back(tmp_path: Path, bundle: Bundle) -> None:
    content: Any = _Content(tmp_path)
    checkpoints = Checkpoints(content, str(tmp_path / "checkpoints"))
    images = checkpoints.image_directory()
    Path(f"{images}/pages-1.img").write_bytes(b"\x00" * 5000)
    os.mkdir(f"{images}/sub")
    Path(f"{images}/sub/core.img").write_text("core")
    first, second = checkpoints.store(bundle, images, AnyValue("spec", b"{}"), "held")
    checkpoints.remove_directory(images)
    assert content.leases == ["held", "held"]
    assert first.media_type == IMAGES
    assert content.blobs[second.digest] == b"\n\x04spec\x12\x02{}"
    target = checkpoints.unpack(bundle, first)
    assert target.startswith(bundle.work)
    assert Path(f"{target}/pages-1.img").read_bytes() == b"\x00" * 5000
    assert Path(f"{target}/sub/core.img").read_text() == "core"


@pytest.mark.parametrize("name", ["../escape", "a/../../escape", "/../escape"])
def test_nothing_leaves_the_directory(tmp_path: Path, bundle: Bundle, name: str) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/"
        archive.addfile(link)
        member = tarfile.TarInfo(name)
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    content: Any = _Content(tmp_path)
    content.blobs["sha256:x"] = raw.getvalue()
    with pytest.raises(Unknown, match="leads out"):
        Checkpoints(content, "").unpack(bundle, Descriptor(IMAGES, "sha256:x"))
    assert os.listdir(f"{bundle.work}/checkpoint") == []
    content.blobs["sha256:x"] = b"no tar at all"
    with pytest.raises(Unknown, match="cannot be unpacked"):
        Checkpoints(content, "").unpack(bundle, Descriptor(IMAGES, "sha256:x"))


def test_what_is_no_checkpoint_is_refused(bundle: Bundle) -> None:
    with pytest.raises(InvalidArgument, match="must be of type"):
        Checkpoints(None, "").unpack(bundle, Descriptor("text/plain", "sha256:x"))
    with pytest.raises(Unimplemented):
        Checkpoints(None, "").unpack(bundle, Descriptor(IMAGES, "sha256:x"))
