"""Where CPython gets the memory for new objects (C API, "Memory Management": PyMem_SetAllocator)."""

from __future__ import annotations

import ctypes
import sys

from pycontainerd.linux.libc import libc

_RAW, _MEM, _OBJECT = 0, 1, 2
_SIZES = (65536, 32768, 16384, 8192, 4096, 2048, *range(1024, 8, -16))
"""Of the holes that are filled, the largest first."""
_ROUNDS = 1 << 16
"""Allocations after which filling is given up: this C library's malloc is not as expected."""


class _Allocator(ctypes.Structure):
    _fields_ = (
        ("ctx", ctypes.c_void_p),
        ("malloc", ctypes.c_void_p),
        ("calloc", ctypes.c_void_p),
        ("realloc", ctypes.c_void_p),
        ("free", ctypes.c_void_p),
    )


def take_from_malloc() -> bool:
    """Have all objects to come allocated by malloc(3); False when this interpreter cannot do that.

    Small objects normally lie in pools, one for each size, so objects that are made one after the other, and are used
    together, lie on as many pages as they have sizes. What pools hold is still given back to them: pymalloc frees by
    malloc's rules what it has not allocated itself, as it never allocates large blocks.
    """
    if sys.implementation.name != "cpython" or not _pooled():
        return False
    raw = _allocator(_RAW)
    for domain in (_MEM, _OBJECT):
        changed = _allocator(domain)
        changed.malloc, changed.calloc = raw.malloc, raw.calloc
        ctypes.pythonapi.PyMem_SetAllocator(domain, ctypes.byref(changed))
    return True


def _pooled() -> bool:
    """Whether pymalloc is at work: neither malloc itself, nor a debugging allocator, nor that of free threading."""
    if "t" in sys.abiflags or "d" in sys.abiflags or sys.flags.dev_mode:
        return False
    raw, objects = _allocator(_RAW), _allocator(_OBJECT)
    return bool(raw.malloc != objects.malloc and raw.free != objects.free and raw.ctx == objects.ctx)


def _allocator(domain: int) -> _Allocator:
    found = _Allocator()
    ctypes.pythonapi.PyMem_GetAllocator(domain, ctypes.byref(found))
    return found


def fill_holes() -> None:
    """Take all memory that malloc(3) has free between used blocks, for good, so that what comes next lies together."""
    malloc, free = libc.malloc, libc.free
    malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    free.restype, free.argtypes = None, [ctypes.c_void_p]
    end = malloc(_SIZES[0] * 2) or 0
    rounds = 0
    for size in _SIZES:
        while rounds < _ROUNDS:
            rounds += 1
            got = malloc(size) or 0
            if got > end:  # from the end of the heap: there is no hole of this size any more
                free(got)
                break
    free(end)
