"""Write a one-layer image archive (docker-archive and OCI layout in one) made from the host's static busybox.

Usage: busybox_image.py OUTPUT.tar NAME:TAG [BUSYBOX]
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tarfile
from pathlib import Path

APPLETS = (
    "sh ash cat ls echo ps sleep true false id env pwd mkdir rm cp mv touch stat mount umount hostname ip ping nc wget "
    "httpd grep sed awk head tail wc sort uniq cut tr date kill uname df du free top vi tar gzip gunzip find xargs dd "
    "sync chmod chown ln seq printf test yes tee sha256sum md5sum nslookup ifconfig route netstat telnet less stty tty"
).split()
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
    "nobody:x:65534:65534:nobody:/:/bin/false\nwww-data:x:33:33:www-data:/var/www:/bin/sh\n",
    "etc/group": "root:x:0:\ndaemon:x:1:\nstaff:x:50:www-data\nwww-data:x:33:\nnogroup:x:65534:\n",
}


def layer(busybox: bytes) -> bytes:
    """The layer as a tar: directories, the binary, a symlink an applet, the account files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:

        def add(name: str, kind: bytes, mode: int, data: bytes = b"", link: str = "") -> None:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.size, info.linkname = kind, mode, len(data), link
            tar.addfile(info, io.BytesIO(data) if data else None)

        for name in ("bin", "etc", "root", "proc", "sys", "dev", "var", "usr", "home"):
            add(name, tarfile.DIRTYPE, 0o755)
        add("tmp", tarfile.DIRTYPE, 0o1777)
        add("bin/busybox", tarfile.REGTYPE, 0o755, busybox)
        for applet in APPLETS:
            add(f"bin/{applet}", tarfile.SYMTYPE, 0o777, link="busybox")
        for name, text in FILES.items():
            add(name, tarfile.REGTYPE, 0o644, text.encode())
    return out.getvalue()


def archive(name: str, busybox: bytes) -> bytes:
    """The image archive around the layer."""
    blob = layer(busybox)
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "amd64")
    diff_id = f"sha256:{hashlib.sha256(blob).hexdigest()}"
    config = json.dumps(
        {
            "created": "1970-01-01T00:00:00Z",
            "architecture": arch,
            "os": "linux",
            "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "busybox-static"}],
        }
    ).encode()

    def descriptor(media_type: str, data: bytes) -> dict[str, object]:
        return {"mediaType": media_type, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}

    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", blob)],
        }
    ).encode()
    full = name if "/" in name.split(":")[0] and "." in name.split("/")[0] else f"docker.io/{name}"
    root = descriptor("application/vnd.oci.image.manifest.v1+json", manifest)
    root["annotations"] = {
        "io.containerd.image.name": full,
        "org.opencontainers.image.ref.name": name.rpartition(":")[2],
    }

    def path(data: bytes) -> str:
        return f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"

    members = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [root]}).encode(),
        "manifest.json": json.dumps([{"Config": path(config), "RepoTags": [name], "Layers": [path(blob)]}]).encode(),
        path(blob): blob,
        path(config): config,
        path(manifest): manifest,
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for member, data in members.items():
            info = tarfile.TarInfo(member)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def main() -> None:
    """Write the archive named on the command line."""
    if len(sys.argv) not in {3, 4}:
        sys.exit(__doc__)
    busybox = Path(sys.argv[3] if len(sys.argv) == 4 else "/bin/busybox")
    if not busybox.exists():
        sys.exit(f"{busybox} is missing: install Debian's busybox-static")
    Path(sys.argv[1]).write_bytes(archive(sys.argv[2], busybox.read_bytes()))


if __name__ == "__main__":
    main()
