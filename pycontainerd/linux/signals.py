"""Signals as descriptors, masks and dispositions, on the C module `_signal` (`signal` would import `enum`)."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found,unused-ignore]
import os
import sys

from pycontainerd.linux.libc import libc, oserror, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SIGHUP, SIGINT, SIGKILL, SIGPIPE, SIGTERM, SIGCHLD, SIGCONT, SIGSTOP, SIGXFSZ = 1, 2, 9, 13, 15, 17, 18, 19, 25
SIGRTMAX = 64
RECORD = 128
"""Bytes of one signalfd_siginfo; its first four are the signal's number."""

_SFD_NONBLOCK, _SFD_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
_SIG_BLOCK, _SIG_UNBLOCK, _SIG_SETMASK = 0, 1, 2
_WORD, _SET = 8, 128
_THREADS = (32, 33)
_SYS_RT_SIGACTION = {"x86_64": 13, "aarch64": 134, "riscv64": 134}


def _set_of(numbers: Iterable[int]) -> bytes:
    """A sigset_t; bytes, as a structure of ctypes would have every shim copy a part of that module's tables."""
    mask = 0
    for number in numbers:
        mask |= 1 << (number - 1)
    return mask.to_bytes(_WORD, sys.byteorder) + bytes(_SET - _WORD)


def signalfd(numbers: Iterable[int]) -> int:
    """Block these signals and return a non-blocking descriptor from which they are read instead. Raises OSError."""
    mask = _set_of(numbers)
    if libc.sigprocmask(_SIG_BLOCK, mask, None) < 0:
        raise oserror("block signals")
    fd = int(libc.signalfd(-1, mask, _SFD_NONBLOCK | _SFD_CLOEXEC))
    if fd < 0:
        raise oserror("signalfd")
    return fd


def unblock(*numbers: int) -> None:
    """Let these signals through again."""
    libc.sigprocmask(_SIG_UNBLOCK, _set_of(numbers), None)


def drain(fd: int) -> set[int]:
    """The numbers of the signals that wait in a signalfd."""
    seen: set[int] = set()
    while True:
        try:
            data = os.read(fd, RECORD * 16)
        except BlockingIOError:
            return seen
        seen.update(int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), RECORD))


def reset() -> None:
    """Unblock every signal and give each its default disposition, as after login."""
    libc.sigprocmask(_SIG_SETMASK, _set_of(()), None)
    for number in range(1, SIGRTMAX + 1):
        if number in (SIGKILL, SIGSTOP, *_THREADS):
            continue
        try:
            _signal.signal(number, _signal.SIG_DFL)
        except (OSError, ValueError):
            pass
    _reset_threads()


def _reset_threads() -> None:
    """The C library hands out neither of its own two signals, and its posix_spawn(3) leaves them ignored in whatever it
    starts, so a process may be born with them ignored: they are asked of the kernel, where its number is known."""
    number = _SYS_RT_SIGACTION.get(os.uname().machine)
    if number is not None:
        for signal in _THREADS:
            syscall("reset signal", number, signal, b"\0" * 32, None, 8)


def default(number: int) -> None:
    """Give one signal its default disposition."""
    _signal.signal(number, _signal.SIG_DFL)


def ignore(*numbers: int) -> None:
    """Ignore these signals. Children that are spawned must be given the default again."""
    for number in numbers:
        _signal.signal(number, _signal.SIG_IGN)
