"""A reader of classic BPF as the kernel runs it on ``struct seccomp_data``: just what libseccomp emits."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

AUDIT_ARCH_X86_64 = 0xC000003E
_JUMPS = {0x10: "==", 0x20: ">", 0x30: ">=", 0x40: "&"}


def decide(program: bytes, number: int, args: Sequence[int] = (), arch: int = AUDIT_ARCH_X86_64) -> int:
    """The filter's return value for one system call."""
    padded = [*args, *[0] * (6 - len(args))]
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, arch, 0, *padded)
    code = list(struct.iter_unpack("<HBBI", program))
    pc = accumulator = 0
    while True:
        opcode, jump_true, jump_false, k = code[pc]
        pc += 1
        if opcode == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif opcode == 0x54:
            accumulator &= k
        elif opcode == 0x05:
            pc += k
        elif opcode & 0x07 == 0x05:
            test = _JUMPS[opcode & 0xF0]
            holds = {
                "==": accumulator == k,
                ">": accumulator > k,
                ">=": accumulator >= k,
                "&": bool(accumulator & k),
            }[test]
            pc += jump_true if holds else jump_false
        elif opcode == 0x06:
            return int(k)
        else:
            raise AssertionError(f"unexpected instruction {opcode:#x}")
