"""mount(2) and umount2(2) themselves, and overlay mounts of any length.

**Long overlay chains.** mount(2) takes one page of options; with absolute paths it is full near 50 layers. Lower
directories are therefore passed relative to their common parent when they would not fit otherwise, and the call is
made from that directory: 127 lowers need about 1 KiB. A working directory belongs to the process, so with several
threads the call runs in a short-lived thread that has unshared its own (`CLONE_FS`, no privilege needed). That works on
every kernel, keeps upperdir and workdir readable in mountinfo, and needs no child process; `fsconfig(lowerdir+)` would
need Linux 6.5 and caps a path at 255 bytes.
"""

from __future__ import annotations

import errno
import os

from pycontainerd.linux.libc import encode, libc, oserror
from pycontainerd.linux.mountopts import common_directory, overlay_layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MNT_FORCE = 1
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

_CLONE_FS = 0x200
_PAGE = os.sysconf("SC_PAGESIZE")


def mount(source: str, target: str, type: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2). Raises OSError naming the target; E2BIG when the options exceed a page."""
    raw = encode(data)
    if len(raw) >= _PAGE:
        raise OSError(errno.E2BIG, f"mount {type}: {len(raw)} bytes of options, at most {_PAGE - 1} fit", target)
    if libc.mount(encode(source), encode(target), encode(type), flags, raw or None) < 0:
        raise oserror(f"mount {type or 'flags'} from {source!r}" if source else "change mount flags", target)


def unmount(target: str, flags: int = UMOUNT_NOFOLLOW) -> None:
    """umount2(2). Raises OSError; EINVAL means that nothing is mounted there."""
    if libc.umount2(encode(target), flags) < 0:
        raise oserror("unmount", target)


def mount_overlay(source: str, target: str, flags: int, data: Sequence[str]) -> None:
    """Mount an overlay, with relative lower directories when absolute ones would overflow the option page.

    Raises OSError naming the layer that is missing where one is.
    """
    joined = ",".join(data)
    try:
        if len(os.fsencode(joined)) < _PAGE:
            mount(source, target, "overlay", flags, joined)
            return
        lower, rest = overlay_layers(data)
        parent = common_directory(lower)
        if not parent:
            raise OSError(errno.E2BIG, "mount overlay: too many lower directories, and some are not absolute", target)
        cut = len(parent.rstrip("/")) + 1
        short = ":".join(path.rstrip("/")[cut:] for path in lower)
        place = os.path.abspath(target)
        _from_directory(parent, lambda: mount(source, place, "overlay", flags, ",".join([f"lowerdir={short}", *rest])))
    except FileNotFoundError as error:
        raise _missing_layer(error, target, data) from None


def _missing_layer(error: OSError, target: str, data: Sequence[str]) -> OSError:
    """The kernel says ENOENT without saying of what: find it."""
    lower, rest = overlay_layers(data)
    named = [part.partition("=")[2] for part in rest if part.startswith(("upperdir=", "workdir="))]
    for path in [target, *named, *lower]:
        if not os.path.isdir(path):
            return OSError(errno.ENOENT, "mount overlay: no such directory", path)
    return error


def _from_directory(directory: str, act: Callable[[], None]) -> None:
    """Run ``act`` with ``directory`` as working directory, without moving any other thread."""
    if len(os.listdir("/proc/self/task")) > 1:
        _in_thread(directory, act)
        return
    here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir(directory)
        try:
            act()
        finally:
            os.fchdir(here)
    finally:
        os.close(here)


def _in_thread(directory: str, act: Callable[[], None]) -> None:
    """Run ``act`` in a thread whose working directory is its own."""
    import _thread  # `threading` would cost the shim an import it never uses

    failure: list[BaseException] = []
    done = _thread.allocate_lock()
    done.acquire()

    def run() -> None:
        try:
            if libc.unshare(_CLONE_FS) < 0:
                raise oserror("unshare working directory", directory)
            os.chdir(directory)
            act()
        except BaseException as error:  # noqa: BLE001 - carried over to the caller
            failure.append(error)
        finally:
            done.release()

    _thread.start_new_thread(run, ())
    done.acquire()
    if failure:
        raise failure[0]
