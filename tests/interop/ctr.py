"""What the tests of Debian's ctr share: a small image and a terminal."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pty
import select
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "busybox_image.py"
IMAGE = "docker.io/library/busybox:interop"


def archive(path: Path, name: str, salt: bytes = b"") -> Path:
    """Write the small image under ``name``; ``salt`` makes it another image with blobs of its own."""
    subprocess.run([sys.executable, str(SCRIPT), str(path), name], check=True)
    return _salted(path, name, salt) if salt else path


def _salted(path: Path, name: str, salt: bytes) -> Path:
    """A one-file image in docker's archive format."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        info = tarfile.TarInfo("salt")
        info.size = len(salt)
        tar.addfile(info, io.BytesIO(salt))
    diff_id = f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"
    rootfs = {"type": "layers", "diff_ids": [diff_id]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(path, "w") as tar:
        for member, data in (("config.json", config), ("layer.tar", layer.getvalue()), ("manifest.json", manifest)):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


class Terminal:
    """A program on a pseudo terminal; ``expect`` waits for text, ``type`` sends some."""

    def __init__(self, command: Sequence[str]) -> None:
        pid, self._master = pty.fork()
        if pid == 0:
            os.execvp(command[0], list(command))
        self.pid = pid
        self.output = ""

    def expect(self, text: str, timeout: float = 20.0) -> None:
        """Read until ``text`` has come since the last call."""
        deadline = time.monotonic() + timeout
        seen = ""
        while text not in seen:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} did not come; there was: {self.output!r}"
            if select.select([self._master], [], [], left)[0]:
                try:
                    data = os.read(self._master, 65536)
                except OSError:
                    data = b""
                assert data, f"ended before {text!r}; there was: {self.output!r}"
                seen += data.decode(errors="replace")
                self.output += data.decode(errors="replace")

    def type(self, text: str) -> None:
        """Send keys."""
        os.write(self._master, text.encode())

    def wait(self, timeout: float = 20.0) -> int:
        """The exit status, once it has ended."""
        deadline = time.monotonic() + timeout
        while True:
            if select.select([self._master], [], [], 0)[0]:
                try:
                    os.read(self._master, 65536)
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self._master)
                return os.waitstatus_to_exitcode(status)
            assert time.monotonic() < deadline, f"still running; there was: {self.output!r}"
            time.sleep(0.02)
