"""Checkpoints as content: a directory of CRIU images becomes a tar blob, and a blob becomes a directory again.

Synchronous; call it from a thread. The media types are containerd's.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from typing import TYPE_CHECKING

from google.protobuf import any_pb2

from pycontainerd.core.errors import AlreadyExists, InvalidArgument, Unimplemented, Unknown
from pycontainerd.core.values import Descriptor

if TYPE_CHECKING:
    from pycontainerd.core.bundle import Bundle
    from pycontainerd.core.content import ContentStore, Writer
    from pycontainerd.core.values import AnyValue

IMAGES = "application/vnd.containerd.container.criu.checkpoint.criu.tar"
CONFIG = "application/vnd.containerd.container.checkpoint.config.v1+proto"


class Checkpoints:
    """Moves checkpoints between directories and the content store (None: checkpoints are not offered)."""

    def __init__(self, content: ContentStore | None, directory: str) -> None:
        """``directory`` holds image directories while they are being written."""
        self._content, self._directory = content, directory

    def image_directory(self) -> str:
        """A fresh directory for the runtime to write its images to; the caller removes it."""
        os.makedirs(self._directory, 0o700, exist_ok=True)
        return tempfile.mkdtemp(prefix="checkpoint-", dir=self._directory)

    def remove_directory(self, path: str) -> None:
        shutil.rmtree(path, ignore_errors=True)

    def store(self, bundle: Bundle, images: str, spec: AnyValue | None, lease: str = "") -> list[Descriptor]:
        """Write the images and the container's spec as blobs; return their descriptors. Raises Unimplemented.

        Nothing refers to them until the client has made an index of them: until then its lease keeps them.
        """
        if self._content is None:
            raise Unimplemented("checkpoints", hint="this daemon keeps no content")
        ref = f"checkpoint-{bundle.id}-{os.path.basename(images)}"
        with self._content.writer(bundle.namespace, f"{ref}-images", lease=lease) as writer:
            with tarfile.open(fileobj=_Stream(writer), mode="w|") as archive:  # type: ignore[call-overload]
                archive.add(images, arcname="")
            blobs = [self._commit(writer, IMAGES)]
        if spec is not None:
            message = any_pb2.Any(type_url=spec.type_url, value=spec.value)
            with self._content.writer(bundle.namespace, f"{ref}-config", lease=lease) as writer:
                writer.write(message.SerializeToString())
                blobs.append(self._commit(writer, CONFIG))
        return blobs

    @staticmethod
    def _commit(writer: Writer, media_type: str) -> Descriptor:
        size, digest = writer.status().offset, writer.digest()
        try:
            writer.commit(size=size, expected=digest)
        except AlreadyExists:
            pass  # the same bytes are there already
        return Descriptor(media_type, digest, size)

    def unpack(self, bundle: Bundle, checkpoint: Descriptor) -> str:
        """Unpack the images of a checkpoint below the bundle's work directory; return where they are.

        Raises InvalidArgument for another media type, NotFound, Unknown for a broken archive.
        """
        if checkpoint.media_type != IMAGES:
            raise InvalidArgument("checkpoint", checkpoint.media_type, f"must be of type {IMAGES}")
        if self._content is None:
            raise Unimplemented("checkpoints", hint="this daemon keeps no content")
        target = f"{bundle.work}/checkpoint"
        os.makedirs(target, 0o700, exist_ok=True)
        with self._content.open(bundle.namespace, checkpoint.digest) as blob:
            try:
                with open(os.dup(blob.fileno()), "rb") as file, tarfile.open(fileobj=file, mode="r|") as archive:
                    _extract(archive, target)
            except (tarfile.TarError, OSError) as error:
                raise Unknown(f"checkpoint {checkpoint.digest} cannot be unpacked: {error}") from error
        return target


def _extract(archive: tarfile.TarFile, target: str) -> None:
    """Write the regular files and directories of an archive, which is all CRIU makes; no links, so nothing escapes."""
    for member in archive:
        parts = [part for part in member.name.split("/") if part not in {"", "."}]
        if ".." in parts:
            raise tarfile.TarError(f"{member.name!r} leads out of the checkpoint")
        path = "/".join((target, *parts))
        if member.isdir():
            os.makedirs(path, 0o700, exist_ok=True)
        elif member.isreg() and (source := archive.extractfile(member)) is not None:
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            with open(path, "xb") as file:
                shutil.copyfileobj(source, file)


class _Stream:
    """What tarfile's stream mode needs of a file, over a content writer."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def write(self, data: bytes) -> int:
        self._writer.write(data)
        return len(data)
