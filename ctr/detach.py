"""Detach keys: the sequence that leaves a container without ending it (``ctrl-p,ctrl-q``)."""

from __future__ import annotations

from ctr.errors import UsageError

DEFAULT = "ctrl-p,ctrl-q"


def parse_keys(text: str) -> bytes:
    """``ctrl-p,ctrl-q`` or ``a,b`` as bytes; an empty text means no sequence. Raises UsageError."""
    result = bytearray()
    for key in text.split(",") if text else ():
        if len(key) == 1 and key.isascii():
            result.append(ord(key))
            continue
        letter = key.removeprefix("ctrl-")
        if len(letter) != 1 or letter == key or not (letter.isalpha() or letter in "@[\\]^_") or not letter.isascii():
            raise UsageError(f"invalid detach keys ({text}): '{key}' is neither a character nor ctrl- with a letter")
        result.append(ord(letter.upper()) - 64)
    return bytes(result)


class Detacher:
    """Watches input for the keys. Bytes that may begin the sequence are held back until it is decided."""

    __slots__ = ("_keys", "_matched")

    def __init__(self, keys: bytes) -> None:
        self._keys, self._matched = keys, 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What of it (and of what was held) goes on to the process, and whether the sequence is complete."""
        keys = self._keys
        if not keys:
            return data, False
        out = bytearray()
        for byte in data:
            while self._matched and byte != keys[self._matched]:
                self._retreat(out)
            if byte != keys[self._matched]:
                out.append(byte)
                continue
            self._matched += 1
            if self._matched == len(keys):
                self._matched = 0
                return bytes(out), True
        return bytes(out), False

    def _retreat(self, out: bytearray) -> None:
        """Let go of as many held bytes as it takes until the rest may begin the sequence again."""
        held = self._keys[: self._matched]
        for length in range(self._matched - 1, -1, -1):
            if held[len(held) - length :] == self._keys[:length]:
                out += held[: len(held) - length]
                self._matched = length
                return
