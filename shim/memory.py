"""Keeping the template's pages shared: what CPython would write into them in every shim is prevented beforehand.

A shim runs each function a few times in its life, so none of this costs time that anybody could notice.
"""

from __future__ import annotations

import ctypes
import gc
import sys

from pycontainerd.linux import prctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

_CO_FLAGS = 48
_CO_WARMUP = 52
_CLASSES = range(16, 513, 16)
_BYTES_HEAD = 33
_POOL = 16 << 10
_TRIES = 20000


def settle() -> list[bytes]:
    """Call once everything is imported and warm. The result must be kept for as long as the process forks."""
    stop_specializing()
    gc.collect()
    filler = fill_holes()
    gc.disable()
    gc.freeze()
    prctl.trim_malloc()
    return filler


def stop_specializing() -> int:
    """Keep CPython 3.11 from counting calls inside code objects and rewriting them; how many were told so.

    Each call of a function that is not yet specialized increments a counter in its code object, a page that the fork
    shares. Zero is the counter's value for "no more". Other versions lay code objects out differently and are left
    alone; so is everything if the field before does not read as expected.
    """
    if sys.version_info[:2] != (3, 11) or sys.implementation.name != "cpython":
        return 0
    probe = stop_specializing.__code__
    if ctypes.c_int.from_address(id(probe) + _CO_FLAGS).value != probe.co_flags:
        return 0
    codes = _codes()
    for code in codes:
        counter = ctypes.c_short.from_address(id(code) + _CO_WARMUP)
        if counter.value < 0:
            counter.value = 0
    return len(codes)


def _codes() -> list[CodeType]:
    """Every code object there is, those inside others too."""
    kind = type(_codes.__code__)
    todo = [function.__code__ for function in gc.get_objects() if isinstance(function, type(_codes))]
    seen: dict[int, CodeType] = {}
    while todo:
        code = todo.pop()
        if id(code) not in seen:
            seen[id(code)] = code
            todo.extend(value for value in code.co_consts if isinstance(value, kind))
    return list(seen.values())


def fill_holes() -> list[bytes]:
    """Fill the free places between objects, so that what a shim allocates lies together on pages of its own.

    Small objects live in pools, one size class each. Imports leave pools half empty; a shim's few objects would be
    strewn over all of them and copy every page. For each class objects are made until a whole pool has been filled.
    """
    filler: list[bytes] = []
    for size in _CLASSES:
        data = size - _BYTES_HEAD
        if data < 2:
            continue
        in_row, last = 0, 0
        for _ in range(_TRIES):
            item = bytes(data)
            filler.append(item)
            in_row = in_row + 1 if id(item) == last + size else 0
            last = id(item)
            if in_row >= _POOL // size - 8:
                break
    return filler
