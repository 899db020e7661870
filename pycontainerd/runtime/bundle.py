"""Bundles on disk: made whole or not at all, and taken away by renaming first. Synchronous; call it from a thread.

The layout is ``pycontainerd.core.bundle``'s. A name that begins with a dot is a bundle on its way in or out; whatever a
crash leaves under such a name is swept at the next start.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import time
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from pycontainerd.api.runtime.bootstrap.v1 import bootstrap_pb2
from pycontainerd.core.bundle import PLUGIN, Bootstrap, Bundle, bundle_of, parse_bootstrap_text
from pycontainerd.core.errors import AlreadyExists, InvalidArgument, ResourceExhausted, Unknown
from pycontainerd.linux import mountinfo
from pycontainerd.linux.mount import unmount_all
from pycontainerd.linux.mountcall import MNT_DETACH
from pycontainerd.wire import failpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

_NONE: Mapping[str, bytes] = {}
_TAKEN = {errno.ENOTEMPTY, errno.EEXIST}
_FULL = {28, 122}  # ENOSPC, EDQUOT


def create(bundle: Bundle, config: bytes, *, group: int | None = None, files: Mapping[str, bytes] = _NONE) -> None:
    """Make the bundle with ``config.json``, ``rootfs``, the ``log`` fifo, the ``work`` link and further files by name.

    It is put together under a dotted name and renamed into place. ``group`` (a gid) opens the directory to the mapped
    root of a user namespace. Raises AlreadyExists, ResourceExhausted on a full disk, Unknown for other failures.
    """
    parent, name = os.path.split(bundle.path)
    building = f"{parent}/.{name}.new"
    try:
        os.makedirs(parent, 0o711, exist_ok=True)
        _remove_tree(building)
        os.mkdir(building, 0o700)
        failpoint.hit("bundle.create.dir")
        _fill(Bundle(bundle.namespace, bundle.id, building, bundle.work), config)
        for file, data in files.items():
            write_file(f"{building}/{file}", data)
        if group is not None:
            os.chown(building, -1, group)
            os.chmod(building, 0o710)
        failpoint.hit("bundle.create.rename")
        if os.path.isdir(bundle.path) and os.listdir(bundle.path):
            raise AlreadyExists("bundle", bundle.id)
        os.rename(building, bundle.path)
    except OSError as error:
        _remove_tree(building)
        _remove_work(bundle)
        raise _disk_error(error, bundle) from error
    except AlreadyExists:
        _remove_tree(building)
        raise


def _fill(bundle: Bundle, config: bytes) -> None:
    write_file(bundle.config, config, mode=0o600)
    os.mkdir(bundle.rootfs, 0o711)
    os.chmod(bundle.rootfs, 0o711)  # mkdir's mode is subject to the umask
    os.mkfifo(bundle.log, 0o700)
    os.makedirs(os.path.dirname(bundle.work), 0o711, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.mkdir(bundle.work, 0o711)
    os.symlink(bundle.work, f"{bundle.path}/work")


def _disk_error(error: OSError, bundle: Bundle) -> Exception:
    if error.errno in _FULL:
        return ResourceExhausted("bundle", bundle.id, f"no space for {error.filename or bundle.path}")
    return Unknown(f"cannot make the bundle of {bundle.id}: {error}")


def write_file(path: str, data: bytes, mode: int = 0o600) -> None:
    """Write a new file in one go; replaces nothing."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)


def replace_file(path: str, data: bytes, mode: int = 0o600) -> None:
    """Write a file and rename it into place; no fsync, since a bundle does not outlive the boot."""
    temporary = f"{path}.tmp"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    write_file(temporary, data, mode)
    os.rename(temporary, path)


def read_file(path: str, limit: int = 16 << 20) -> bytes:
    """The bytes of a bundle's file; empty when there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return b""
    with open(fd, "rb") as file:
        return file.read(limit)


def bootstrap_files(bootstrap: Bootstrap, shim_binary: str) -> dict[str, bytes]:
    """What ``save_bootstrap`` saves, for a bundle that is to be made with it."""
    return {"bootstrap.json": bootstrap.to_json().encode(), "shim-binary-path": shim_binary.encode()}


def save_bootstrap(bundle: Bundle, bootstrap: Bootstrap, shim_binary: str) -> None:
    """Remember how to reach the shim and which binary it is of."""
    for name, data in bootstrap_files(bootstrap, shim_binary).items():
        replace_file(f"{bundle.path}/{name}", data)


def load_bootstrap(bundle: Bundle) -> Bootstrap:
    """What ``bootstrap.json``, or the ``address`` file of an older daemon, says. Raises InvalidArgument for neither.

    An ``address`` file is migrated: rewritten as ``bootstrap.json`` and removed.
    """
    if data := read_file(bundle.bootstrap):
        return parse_bootstrap(data)
    data = read_file(bundle.address)
    if not data:
        raise InvalidArgument("bundle", bundle.id, "holds no bootstrap.json: its shim was never started")
    bootstrap = parse_bootstrap(data)
    replace_file(bundle.bootstrap, bootstrap.to_json().encode())
    os.unlink(bundle.address)
    return bootstrap


def parse_bootstrap(data: bytes) -> Bootstrap:
    """Parse a shim's answer: a serialized BootstrapResult, JSON, or an address alone. Raises InvalidArgument."""
    result = bootstrap_pb2.BootstrapResult()
    try:
        result.ParseFromString(data)
    except DecodeError:
        result.Clear()
    if result.address and result.version >= 2:
        if result.version > 3:
            raise InvalidArgument("shim bootstrap", result.address, f"speaks task API version {result.version}")
        return Bootstrap(result.address, result.version, result.protocol or "ttrpc")
    return parse_bootstrap_text(data.decode("utf-8", "replace"))


def remove(bundle: Bundle) -> None:
    """Take the bundle and its work directory away; idempotent. Raises OSError."""
    discard(retire(bundle))


def retire(bundle: Bundle) -> str:
    """Free the bundle's name, which leaves a directory for ``discard`` (or the next start); idempotent.

    ``rootfs`` goes first and only by rmdir: as long as a container's files are mounted there nothing is walked. Then
    the bundle is renamed, so that a name is free or taken but never half there. Raises OSError.
    """
    parent, name = os.path.split(bundle.path)
    doomed = f"{parent}/.{name}"
    _remove_rootfs(bundle.rootfs)
    failpoint.hit("bundle.remove.rename")
    try:
        os.rename(bundle.path, doomed)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in _TAKEN:
            raise
        doomed += f".{time.monotonic_ns():x}"  # the last one of this name is still on its way out
        os.rename(bundle.path, doomed)
    failpoint.hit("bundle.remove.tree")
    _remove_work(bundle)
    return doomed


def discard(doomed: str) -> None:
    """Remove what ``retire`` has left. Raises OSError."""
    _remove_tree(doomed)


def _remove_rootfs(path: str) -> None:
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return
    except OSError:
        unmount_all(path, MNT_DETACH)
        if mountinfo.below(path) or mountinfo.is_mount_point(path):
            raise
        if os.path.isdir(path):
            shutil.rmtree(path)  # files that somebody wrote into the directory itself


def _remove_work(bundle: Bundle) -> None:
    if not bundle.work:
        return
    parent, name = os.path.split(bundle.work)
    with contextlib.suppress(FileNotFoundError):
        try:
            os.rmdir(bundle.work)
        except OSError:
            doomed = f"{parent}/.{name}"
            _remove_tree(doomed)
            os.rename(bundle.work, doomed)
            _remove_tree(doomed)


def _remove_tree(path: str) -> None:
    """Remove a directory of our own: links are not followed, and what is mounted right below is detached first."""
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(info.st_mode):
        os.unlink(path)
        return
    with os.scandir(path) as entries:
        children = list(entries)
    for entry in children:
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.path)
            continue
        if entry.stat(follow_symlinks=False).st_dev != info.st_dev or entry.name == "rootfs":
            _remove_rootfs(entry.path)
        else:
            shutil.rmtree(entry.path)
    os.rmdir(path)


def sweep(state: str, root: str) -> list[Bundle]:
    """List the bundles a state directory holds, after removing dotted leftovers, empty bundles and orphaned work.

    Never raises for a single bad entry: what cannot be removed is left for the next start.
    """
    bundles: list[Bundle] = []
    for namespace in _children(f"{state}/{PLUGIN}"):
        for name in _children(f"{state}/{PLUGIN}/{namespace}", dotted=True):
            path = f"{state}/{PLUGIN}/{namespace}/{name}"
            if name.startswith("."):
                _discard(path)
                continue
            bundle = bundle_of(state, root, namespace, name)
            if not os.listdir(path):
                _discard(path)
                _discard(bundle.work)
                continue
            bundles.append(bundle)
    _sweep_work(root, {bundle.work for bundle in bundles})
    return bundles


def _sweep_work(root: str, kept: set[str]) -> None:
    for namespace in _children(f"{root}/{PLUGIN}"):
        for name in _children(f"{root}/{PLUGIN}/{namespace}", dotted=True):
            path = f"{root}/{PLUGIN}/{namespace}/{name}"
            if path not in kept:
                _discard(path)


def _children(path: str, *, dotted: bool = False) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(e.name for e in entries if e.is_dir(follow_symlinks=False) and (dotted or e.name[0] != "."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _discard(path: str) -> None:
    with contextlib.suppress(OSError):
        _remove_tree(path)


def mark_published(bundle: Bundle, process: str, pid: int) -> None:
    """Remember that subscribers were told of the exit of a process (``init`` or an exec's id). Never raises."""
    with contextlib.suppress(OSError):
        fd = os.open(bundle.published, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, f"{process} {pid}\n".encode())
        finally:
            os.close(fd)


def read_published(bundle: Bundle) -> set[tuple[str, int]]:
    """Process names and pids whose exits were published."""
    pairs: set[tuple[str, int]] = set()
    for line in read_file(bundle.published).decode("utf-8", "replace").splitlines():
        process, _, pid = line.partition(" ")
        if pid.isdigit():
            pairs.add((process, int(pid)))
    return pairs
