"""Small images made in memory, by the standard library's tar writer: layers, manifests, archives."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BUSYBOX = Path("/bin/busybox")
"""Debian's busybox-static."""
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"

_APPLETS = (
    "sh ls cat echo sleep true false id mount ps env touch mkdir rm head tail wc grep kill dd sync seq tr cp mv ln "
    "chmod chown date hostname ip test yes sort stat tee nc ping vi cut od uname who pwd"
)
_TYPES = {
    "file": tarfile.REGTYPE,
    "dir": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "link": tarfile.LNKTYPE,
    "char": tarfile.CHRTYPE,
    "block": tarfile.BLKTYPE,
    "fifo": tarfile.FIFOTYPE,
}


@dataclass
class Member:
    """One member of a layer; ``kind`` is file, dir, symlink, link, char, block or fifo."""

    name: str
    kind: str = "file"
    data: bytes = b""
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime: int = 1_700_000_000
    link: str = ""
    device: tuple[int, int] = (0, 0)
    pax: dict[str, str] = field(default_factory=dict)


def digest(data: bytes) -> str:
    """sha256 of the bytes, as a digest."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def make_tar(members: Iterable[Member], format: int = tarfile.PAX_FORMAT) -> bytes:
    """An uncompressed archive of these members, names taken literally."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for member in members:
            info = tarfile.TarInfo(member.name)
            info.type = _TYPES[member.kind]
            info.size = len(member.data)
            info.mode, info.uid, info.gid, info.mtime = member.mode, member.uid, member.gid, member.mtime
            info.linkname = member.link
            info.devmajor, info.devminor = member.device
            info.pax_headers = dict(member.pax)
            archive.addfile(info, io.BytesIO(member.data))
    return out.getvalue()


def compress(data: bytes, kind: str) -> bytes:
    """``gzip``, ``zstd`` (by the program) or unchanged."""
    if kind == "gzip":
        return gzip.compress(data, 6, mtime=0)
    if kind == "zstd":
        return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout
    return data


@dataclass
class Layer:
    """A layer as a blob, and its diff id."""

    blob: bytes
    diff_id: str
    media_type: str

    @classmethod
    def of(cls, members: Iterable[Member] | bytes, compression: str = "gzip") -> Layer:
        """From members, or from a tar that is there already."""
        tar = members if isinstance(members, bytes) else make_tar(members)
        media_type = OCI_LAYER + (f"+{compression}" if compression else "")
        return cls(compress(tar, compression), digest(tar), media_type)


@dataclass
class Built:
    """An image: its descriptor and all blobs by digest."""

    descriptor: dict[str, Any]
    blobs: dict[str, bytes]
    config: str
    layers: Sequence[Layer]

    @property
    def digest(self) -> str:
        """The manifest's digest."""
        return str(self.descriptor["digest"])


def descriptor(data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    """A descriptor for the bytes."""
    return {"mediaType": media_type, "digest": digest(data), "size": len(data), **more}


def build(
    layers: Sequence[Layer],
    *,
    config: Mapping[str, Any] | None = None,
    architecture: str = "amd64",
    variant: str = "",
    os: str = "linux",
) -> Built:
    """An OCI image of these layers; ``config`` is the container part (Cmd, Env …)."""
    document: dict[str, Any] = {"architecture": architecture, "os": os, "config": dict(config or {"Cmd": ["/bin/sh"]})}
    if variant:
        document["variant"] = variant
    document["rootfs"] = {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]}
    config_blob = json.dumps(document).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config_blob, OCI_CONFIG),
        "layers": [descriptor(layer.blob, layer.media_type) for layer in layers],
    }
    blob = json.dumps(manifest).encode()
    platform = {"architecture": architecture, "os": os} | ({"variant": variant} if variant else {})
    blobs = {digest(data): data for data in (config_blob, blob, *(layer.blob for layer in layers))}
    return Built(descriptor(blob, OCI_MANIFEST, platform=platform), blobs, digest(config_blob), layers)


def build_index(images: Sequence[Built]) -> Built:
    """An index over several images."""
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [image.descriptor for image in images]}
    blob = json.dumps(document).encode()
    blobs = {key: data for image in images for key, data in image.blobs.items()}
    return Built(descriptor(blob, OCI_INDEX), {**blobs, digest(blob): blob}, "", ())


def busybox_layer(compression: str = "gzip") -> Layer:
    """A root file system of Debian's static busybox with the usual applets, passwd and group."""
    members = [Member(name, "dir") for name in ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "var", "var/log")]
    members[6].mode = 0o1777
    members.append(Member("bin/busybox", data=BUSYBOX.read_bytes()))
    members += [Member(f"bin/{name}", "symlink", link="busybox", mode=0o777) for name in _APPLETS.split()]
    passwd = b"root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/:/bin/false\nuser:x:1000:1000::/home/user:/bin/sh\n"
    members.append(Member("etc/passwd", data=passwd, mode=0o644))
    members.append(Member("etc/group", data=b"root:x:0:\ndaemon:x:1:\nuser:x:1000:\nextra:x:2000:user\n", mode=0o644))
    return Layer.of(members, compression)


def busybox(compression: str = "gzip", architecture: str = "amd64") -> Built:
    """An image of one busybox layer."""
    config = {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]}
    return build([busybox_layer(compression)], config=config, architecture=architecture)


def oci_archive(images: Mapping[str, Built], *, annotation: str = "io.containerd.image.name") -> bytes:
    """An OCI layout tar; the keys become the images' names."""
    entries = [
        {**image.descriptor, "annotations": {annotation: name, "org.opencontainers.image.ref.name": _tag(name)}}
        for name, image in images.items()
    ]
    index = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    blobs = {key: data for image in images.values() for key, data in image.blobs.items()}
    members = [Member("oci-layout", data=b'{"imageLayoutVersion":"1.0.0"}'), Member("index.json", data=index)]
    members += [Member("blobs", "dir"), Member("blobs/sha256", "dir")]
    members += [Member(f"blobs/sha256/{key.partition(':')[2]}", data=data) for key, data in blobs.items()]
    return make_tar(members)


def docker_archive(image: Built, tags: Sequence[str]) -> bytes:
    """What old dockers' ``save`` wrote: plain layers in directories of their own, a second use as symbolic link."""
    members: list[Member] = []
    names: list[str] = []
    first: dict[str, str] = {}
    for number, layer in enumerate(image.layers):
        name = f"{number:064x}/layer.tar"
        tar = gzip.decompress(layer.blob) if layer.media_type.endswith("gzip") else layer.blob
        members.append(Member(f"{number:064x}/", "dir"))
        members.append(Member(f"{number:064x}/VERSION", data=b"1.0"))
        if layer.diff_id in first:
            members.append(Member(name, "symlink", link="../" + first[layer.diff_id]))
        else:
            first[layer.diff_id] = name
            members.append(Member(name, data=tar))
        names.append(name)
    config = image.config.partition(":")[2] + ".json"
    members.append(Member(config, data=image.blobs[image.config]))
    manifest = [{"Config": config, "RepoTags": list(tags), "Layers": names}]
    members.append(Member("manifest.json", data=json.dumps(manifest).encode()))
    return make_tar(members)


def _tag(name: str) -> str:
    last = name.rpartition("/")[2]
    return last.partition(":")[2] or "latest"
