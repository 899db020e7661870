"""Images for the runs: a small busybox, and a large one of 10,000 files."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import subprocess
import sys
import tarfile
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "busybox_image.py"
FILES, TOTAL = 10_000, 200 << 20


def busybox(path: Path, name: str) -> None:
    """Write the demo's image archive."""
    subprocess.run([sys.executable, str(SCRIPT), str(path), name], check=True)


def large(path: Path, name: str) -> None:
    """Write an OCI archive with one gzip layer of ``FILES`` files and ``TOTAL`` bytes, half of them compressible."""
    source = random.Random(7)
    noise = source.randbytes(1 << 20)
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for number in range(FILES):
            size = TOTAL // FILES
            start = source.randrange(len(noise) - size)
            data = noise[start : start + size // 2] + b"text " * (size // 10)
            info = tarfile.TarInfo(f"srv/d{number // 100:03}/f{number:05}")
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    layer = gzip.compress(raw.getvalue(), 6)
    diff_id = f"sha256:{hashlib.sha256(raw.getvalue()).hexdigest()}"
    config = json.dumps(
        {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [diff_id]}}
    ).encode()

    def descriptor(kind: str, data: bytes) -> dict[str, object]:
        media_type = f"application/vnd.oci.image.{kind}"
        return {"mediaType": media_type, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}

    body = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
    body |= {"config": descriptor("config.v1+json", config), "layers": [descriptor("layer.v1.tar+gzip", layer)]}
    manifest = json.dumps(body).encode()
    root = descriptor("manifest.v1+json", manifest) | {"annotations": {"io.containerd.image.name": name}}
    index = json.dumps({"schemaVersion": 2, "manifests": [root]}).encode()
    members = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index}
    for blob in (layer, config, manifest):
        members[f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}"] = blob
    with tarfile.open(path, "w") as tar:
        for member, data in members.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def chain_id(path: Path) -> str:
    """The chain id of a one-layer archive: its only diff id."""
    with tarfile.open(path) as tar:

        def read(name: str) -> bytes:
            member = tar.extractfile(name)
            assert member is not None
            return member.read()

        manifest = json.loads(read("index.json"))["manifests"][0]["digest"].partition(":")[2]
        config = json.loads(read(f"blobs/sha256/{manifest}"))["config"]["digest"].partition(":")[2]
        diff_ids: list[str] = json.loads(read(f"blobs/sha256/{config}"))["rootfs"]["diff_ids"]
        return diff_ids[0]
