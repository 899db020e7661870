"""Which OCI runtime works here, found out by letting it run something. Synchronous; each question is asked once.

Version numbers do not tell: crun 1.8 calls itself "spec 1.0.0" and runs 1.1, and whether it runs at all depends on how
the host mounts its control groups. So a container is run whose root file system is the host's ``/usr``, read-only.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import threading

from pycontainerd.linux import process

PROBE_LIMIT = 10.0
"""Seconds a runtime has for the probe; it takes about 20 ms."""
PREFIX = ".probe-"
"""What the names of probe bundles begin with."""
_BOUND = ("/usr", "/bin", "/lib", "/lib64")


class RuntimeProbe:
    """Answers whether a runtime works on this host for a line of the OCI spec, remembering why it does not."""

    def __init__(self, directory: str) -> None:
        """``directory``: where probe bundles may be made for a moment (the daemon's state directory)."""
        self._directory = directory
        self._answers: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def works(self, binary: str, spec_line: str) -> bool:
        """Whether ``binary`` runs a container of spec version ``spec_line``, such as ``1.1``."""
        return not self.complaint(binary, spec_line)

    def complaint(self, binary: str, spec_line: str) -> str:
        """Why a runtime does not work here; empty when it does."""
        with self._lock:
            key = (binary, spec_line)
            if key not in self._answers:
                self._answers[key] = self._probe(binary, f"{spec_line}.0")
            return self._answers[key]

    def _probe(self, binary: str, version: str) -> str:
        if shutil.which(binary) is None:
            return f"{binary} is not installed"
        try:
            os.makedirs(self._directory, 0o711, exist_ok=True)
            self._clear(binary)
            with tempfile.TemporaryDirectory(prefix=PREFIX, dir=self._directory) as bundle:
                return _run(binary, version, bundle)
        except OSError as error:
            return f"{binary} cannot be tried: {error}"

    def _clear(self, binary: str) -> None:
        """Take away what a daemon left that was killed at its probe: nobody else makes bundles of this kind here."""
        for name in os.listdir(self._directory):
            if name.startswith(PREFIX):
                bundle = f"{self._directory}/{name}"
                for container in _children(f"{bundle}/state"):
                    _delete(binary, bundle, container)
                shutil.rmtree(bundle, ignore_errors=True)


def _children(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _delete(binary: str, bundle: str, name: str) -> None:
    with contextlib.suppress(OSError):
        process.run([binary, "--root", f"{bundle}/state", "delete", "--force", name], timeout=PROBE_LIMIT)


def _run(binary: str, version: str, bundle: str) -> str:
    name = f"pycontainerd-probe-{os.getpid()}-{os.path.basename(bundle).removeprefix(PREFIX)}"
    os.makedirs(f"{bundle}/rootfs/dev")
    with open(f"{bundle}/config.json", "w", encoding="utf-8") as file:
        json.dump(_spec(version, name), file)
    root = ("--root", f"{bundle}/state")
    try:
        result = process.run([binary, *root, "run", "--bundle", bundle, name], timeout=PROBE_LIMIT)
        return "" if result.code == 0 else f"{binary} does not work here: {result.text}"
    finally:
        if os.path.isdir(f"{bundle}/state/{name}"):
            _delete(binary, bundle, name)


def _spec(version: str, name: str) -> dict[str, object]:
    mounts = [
        {"destination": path, "type": "bind", "source": os.path.realpath(path), "options": ["rbind", "ro"]}
        for path in _BOUND
        if os.path.isdir(path)
    ]
    namespaces = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")]
    return {
        "ociVersion": version,
        "root": {"path": "rootfs", "readonly": False},
        "process": {
            "cwd": "/",
            "args": ["/bin/true"],
            "env": [],
            "user": {"uid": 0, "gid": 0},
            "noNewPrivileges": True,
        },
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}, *mounts],
        "linux": {"namespaces": namespaces, "cgroupsPath": f"/{name}"},
    }
