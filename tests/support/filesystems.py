"""Filesystems of a kind that the machine's root may not be: made in a file, mounted through a loop device."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KINDS = {
    "ext4-quota": (("mkfs.ext4", "-q", "-F", "-O", "quota,project", "-E", "quotatype=prjquota"), "prjquota", 64),
    "xfs-quota": (("mkfs.xfs", "-q"), "prjquota", 320),
    "xfs": (("mkfs.xfs", "-q"), "", 320),
    "ext4": (("mkfs.ext4", "-q", "-F"), "", 64),
}
"""Command that formats, mount options, size in MiB."""


@contextmanager
def filesystem(directory: Path, kind: str) -> Iterator[Path]:
    """A mounted filesystem; the test is skipped where the program or the kernel's support is missing."""
    command, options, size = KINDS[kind]
    image, target = directory / f"{kind}.img", directory / kind
    with image.open("wb") as file:
        file.truncate(size << 20)
    try:
        subprocess.run([*command, str(image)], check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"{command[0]}: {error}")
    target.mkdir()
    mounted = subprocess.run(
        ["mount", "-o", f"loop{',' if options else ''}{options}", str(image), str(target)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"this kernel mounts no {kind}: {mounted.stderr.splitlines()[0]}")
    try:
        yield target
    finally:
        subprocess.run(["umount", "-R", str(target)], check=False, capture_output=True)
        subprocess.run(["umount", "-l", str(target)], check=False, capture_output=True)


def fill(path: Path, size: int) -> int:
    """Write until it is refused; how many bytes went in. A process without privileges of quotas does it."""
    script = (
        "import os, sys\n"
        "done = 0\n"
        "try:\n"
        "    with open(sys.argv[1], 'wb', buffering=0) as file:\n"
        "        while done < int(sys.argv[2]):\n"
        "            done += file.write(bytes(65536))\n"
        "            os.fsync(file.fileno())\n"
        "except OSError as error:\n"
        "    assert error.errno in (28, 122), error\n"
        "print(done)\n"
    )
    command = ["setpriv", "--bounding-set=-sys_resource", "python3", "-c", script, str(path), str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)
