"""The user's terminal: raw while a container has it, itself again on every way out."""

from __future__ import annotations

import os
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

_INPUT, _OUTPUT, _CONTROL, _LOCAL, _CHARACTERS = 0, 1, 2, 3, 6


def is_terminal(fd: int) -> bool:
    """Whether a descriptor is a terminal (one that is closed is none)."""
    return os.isatty(fd)


def size(fd: int) -> tuple[int, int]:
    """Columns and rows, 0 and 0 when it does not tell."""
    try:
        width, height = os.get_terminal_size(fd)
    except OSError:
        return 0, 0
    return width, height


class RawMode:
    """``with RawMode(0):`` — keys go to the container one by one and unread; nothing for what is no terminal."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._saved: list[int | list[bytes | int]] | None = None

    def __enter__(self) -> Self:
        if is_terminal(self._fd):
            self._saved = termios.tcgetattr(self._fd)
            mode = termios.tcgetattr(self._fd)
            _make_raw(mode)
            termios.tcsetattr(self._fd, termios.TCSADRAIN, mode)
        return self

    def __exit__(self, *_exception: object) -> None:
        self.restore()

    def restore(self) -> None:
        """Give the terminal back; can be done twice."""
        if self._saved is not None:
            saved, self._saved = self._saved, None
            try:
                termios.tcsetattr(self._fd, termios.TCSADRAIN, saved)
            except termios.error:
                pass  # it is gone: its window was closed


def _make_raw(mode: list[int | list[bytes | int]]) -> None:
    """As cfmakeraw(3)."""
    t = termios
    _clear(mode, _INPUT, t.IGNBRK | t.BRKINT | t.PARMRK | t.ISTRIP | t.INLCR | t.IGNCR | t.ICRNL | t.IXON)
    _clear(mode, _OUTPUT, t.OPOST)
    _clear(mode, _LOCAL, t.ECHO | t.ECHONL | t.ICANON | t.ISIG | t.IEXTEN)
    _clear(mode, _CONTROL, t.CSIZE | t.PARENB)
    control = mode[_CONTROL]
    characters = mode[_CHARACTERS]
    assert isinstance(control, int)
    assert isinstance(characters, list)
    mode[_CONTROL] = control | t.CS8
    characters[t.VMIN], characters[t.VTIME] = 1, 0


def _clear(mode: list[int | list[bytes | int]], index: int, bits: int) -> None:
    value = mode[index]
    assert isinstance(value, int)
    mode[index] = value & ~bits
