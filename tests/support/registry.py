"""Debian's docker-registry on loopback, with a directory of its own, and images put into it over its API."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.images import Built

_CONFIG = """\
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
{auth}
"""


@dataclass
class RegistryServer:
    """A running registry; ``host`` is what stands before the repository in a reference."""

    host: str
    root: Path

    def push(self, image: Built, repository: str, tag: str = "latest") -> str:
        """Upload an image (all its manifests and blobs); return its full reference."""
        base = f"http://{self.host}/v2/{repository}"
        manifests = [image.blobs[image.digest]]
        document = json.loads(manifests[0])
        children = document.get("manifests", [])
        manifests[:0] = [image.blobs[child["digest"]] for child in children]
        known = {child["digest"] for child in children} | {image.digest}
        for digest, data in image.blobs.items():
            if digest not in known:
                self._upload(base, digest, data)
        for blob in manifests:
            media_type = json.loads(blob)["mediaType"]
            name = (
                tag
                if blob is manifests[-1]
                else next(c["digest"] for c in children if image.blobs[c["digest"]] == blob)
            )
            _request("PUT", f"{base}/manifests/{name}", blob, {"Content-Type": media_type})
        return f"{self.host}/{repository}:{tag}"

    def _upload(self, base: str, digest: str, data: bytes) -> None:
        headers = _request("POST", f"{base}/blobs/uploads/", b"", {})
        location = headers["Location"]
        url = location if location.startswith("http") else f"http://{self.host}{location}"
        separator = "&" if "?" in url else "?"
        _request("PUT", f"{url}{separator}digest={digest}", data, {"Content-Type": "application/octet-stream"})


def _request(method: str, url: str, data: bytes, headers: dict[str, str]) -> dict[str, str]:
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        return dict(response.headers)


@contextlib.contextmanager
def registry(root: Path, *, auth: str = "") -> Iterator[RegistryServer]:
    """Run a registry that keeps its data below ``root``; ``auth`` is a piece of its YAML configuration."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    root.mkdir(parents=True, exist_ok=True)
    config = root / "config.yml"
    config.write_text(_CONFIG.format(root=root / "data", port=port, auth=auth))
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log)
    try:
        _wait(process, port, root / "log")
        yield RegistryServer(f"127.0.0.1:{port}", root)
    finally:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + 15
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"docker-registry did not start: {log.read_text()[-500:]}")
