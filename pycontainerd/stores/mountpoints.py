"""The acts of the mount manager on the machine: images made, directories made, mount points and loop devices.

A loop device stands at its mount point as a symbolic link; beside it a file `<point>.loop` names the file behind the
device, so that a device which meanwhile belongs to somebody else is never detached.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pycontainerd.core import mounts
from pycontainerd.core.errors import FailedPrecondition, InvalidArgument, Unavailable
from pycontainerd.core.mounts import ActiveMount
from pycontainerd.linux import loop, mountinfo, process
from pycontainerd.linux.mount import mount_all, unmount_all
from pycontainerd.linux.tree import remove_tree
from pycontainerd.stores.columns import now
from pycontainerd.wire.failpoint import hit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycontainerd.core.mounts import Directory, Image, Step
    from pycontainerd.core.values import Mount

LOOP = "loop"
HANDLED = (LOOP,)
"""Mount types that are performed here and by no kernel."""
_LINK = ".loop"
_MKFS_TIMEOUT = 600.0  # seconds


def transform(step: Step, active: Sequence[ActiveMount], roots: Sequence[str]) -> Mount:
    """Apply a step's transforms in order; files and directories are only made below one of ``roots``.

    Raises InvalidArgument, FailedPrecondition (mkfs failed), Unavailable (no mkfs), OSError.
    """
    mount = step.mount
    for name in step.transforms:
        if name == mounts.FORMAT:
            mount = mounts.fill_in(mount, active)
        elif name == mounts.MKDIR:
            mount, directories = mounts.take_directories(mount)
            for directory in directories:
                make_directory(directory, roots)
        else:
            mount, image = mounts.take_image(mount)
            make_image(image, roots)
    return mount


def perform(mount: Mount, point: str) -> ActiveMount:
    """Make a mount at ``point``, which must not exist. Raises OSError and leaves nothing."""
    if mount.type == LOOP:
        return _attach(mount, point)
    os.mkdir(point, 0o700)
    try:
        mount_all([mount], point)
    except BaseException:
        os.rmdir(point)
        raise
    return ActiveMount(mount, point, now())


def undo(directory: str) -> None:
    """Take off everything made in an activation's directory, last first, and the directory; idempotent.

    Raises OSError when something stays; a later call takes up from there.
    """
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return
    for name in sorted((name for name in names if name.isdigit()), key=int, reverse=True):
        point = os.path.join(directory, name)
        if os.path.islink(point):
            _detach(point)
        else:
            unmount_all(point)
    remove_tree(directory)


def stands(active: ActiveMount) -> bool:
    """Whether a mount that was made is still there: a reboot takes them all."""
    if active.mount.type != LOOP:
        return os.path.isdir(active.mount_point) and mountinfo.is_mount_point(active.mount_point)
    try:
        device = os.readlink(active.mount_point)
    except OSError:
        return False
    return loop.backing_file(device) == os.path.realpath(active.mount.source)


def make_directory(directory: Directory, roots: Sequence[str]) -> None:
    """Make one directory with its parents; one that exists keeps its mode and owner."""
    path = _inside(directory.path, roots)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
        return
    os.chmod(path, directory.mode)
    if directory.uid >= 0:
        os.chown(path, directory.uid, directory.gid)


def make_image(image: Image, roots: Sequence[str]) -> None:
    """Make and format an image file under its final name; one that exists is taken as it is.

    The file gets its name only when it is formatted, so a failure never leaves an empty image behind.
    """
    path = _inside(image.path, roots)
    if os.path.exists(path):
        return
    if not image.size:
        raise InvalidArgument("image file", image.path, f"say how large it is to be with {mounts.MKFS_OPTION}size=")
    partial = f"{path}.partial"
    try:
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, image.size)
        finally:
            os.close(descriptor)
        _format(image, partial)
        os.rename(partial, path)
    except BaseException:
        try:
            os.unlink(partial)
        except FileNotFoundError:
            pass
        raise


def _format(image: Image, path: str) -> None:
    program = f"mkfs.{image.filesystem}"
    argv = [program, "-q", *(("-F",) if image.filesystem != "xfs" else ())]
    if image.uuid:
        argv += ["-U", image.uuid] if image.filesystem != "xfs" else ["-m", f"uuid={image.uuid}"]
    try:
        result = process.run([*argv, path], timeout=_MKFS_TIMEOUT)
    except FileNotFoundError as error:
        package = "xfsprogs" if image.filesystem == "xfs" else "e2fsprogs"
        raise Unavailable("program", program, f"it is not installed: install {package}") from error
    if result.code:
        raise FailedPrecondition("image file", image.path, f"{program}: {result.text}")


def _inside(path: str, roots: Sequence[str]) -> str:
    """The real path, when it lies below one of ``roots``. Raises InvalidArgument."""
    real = os.path.realpath(path)
    if not any(real.startswith(os.path.realpath(root).rstrip("/") + "/") for root in roots):
        raise InvalidArgument("path", path, f"the mount manager only works below {' and '.join(roots)}")
    return real


def _attach(mount: Mount, point: str) -> ActiveMount:
    """Attach a file to a loop device that stays until it is detached; link it to the mount point."""
    source = os.path.realpath(mount.source)
    with open(point + _LINK, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(source)
    device = loop.attach(source, read_only="ro" in mount.options, direct_io="direct-io" in mount.options)
    try:
        os.symlink(device.path, point)
        hit("mounts.loop.linked")
        device.keep()  # only now: until it is known by its link, a crash must take the device along
    finally:
        device.close()
    return ActiveMount(mount, point, now(), {"device": device.path})


def _detach(point: str) -> None:
    """Detach the device that a mount point links to, if it still holds our file."""
    device = os.readlink(point)
    try:
        with open(point + _LINK, encoding="utf-8", errors="surrogateescape") as file:
            source = file.read()
    except FileNotFoundError:
        source = ""
    if source and loop.backing_file(device) == source:
        loop.detach(device)  # while it is mounted somewhere, the kernel waits for the last mount to go
    os.unlink(point)
