"""The list of functions that are put together in memory names functions that are there."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import CodeType

import pytest

from shim.hotcode import FUNCTIONS, WORDS

ROOT = Path(importlib.import_module("shim").__path__[0]).parent
HINT = "write the list anew: python -m tests.integration.shim.recorded"


def _codes(code: CodeType) -> set[str]:
    found = {code.co_qualname}
    for const in code.co_consts:
        if isinstance(const, CodeType):
            found |= _codes(const)
    return found


def test_every_function_is_there() -> None:
    known: dict[str, set[str]] = {}
    for name in FUNCTIONS.splitlines():
        path, _, function = name.partition(":")
        if path.startswith("<frozen "):
            continue
        if path not in known:
            known[path] = _codes(compile((ROOT / path).read_text(), path, "exec"))
        assert function in known[path], f"{name} is gone; {HINT}"


def test_no_name_is_there_twice() -> None:
    assert len(set(FUNCTIONS.splitlines())) == len(FUNCTIONS.splitlines())
    assert len(set(WORDS.split())) == len(WORDS.split())


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import shim.template
from pycontainerd.linux.pymalloc import fill_holes, take_from_malloc
from shim.compact import compact, functions_of
from shim.jsontext import dumps, loads
old = [str(number) * 3 for number in range(5000)]
names = ["shim/jsontext.py:dumps", "shim/jsontext.py:no such", "shim/loop.py:Parked.set", "shim/jsontext.py:loads"]
functions = functions_of(names, sys.argv[1])
assert [function.__name__ for function in functions] == ["dumps", "set", "loads"], functions
before = [function.__code__ for function in functions]
kept = compact(functions)
assert all(function.__code__ is not code for function, code in zip(functions, before))
del old[::2]  # what was allocated by the pools is freed to them
grown = [text * 50 for text in old]
old += [text[:40] for text in grown]
fill_holes()
fill_holes()
for size in range(1, 3000, 7):
    block = bytearray(size)
    block += bytes(size)
    assert len(block) == 2 * size
assert loads(dumps({"a": [1, None, "x" * 600]})) == {"a": [1, None, "x" * 600]}
print("fine")
"""


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="about CPython's memory")
def test_moved_code_and_memory_work() -> None:
    command = [sys.executable, "-I", "-S", "-E", "-OO", "-c", PROGRAM, str(ROOT)]
    assert subprocess.check_output(command, text=True) == "fine\n"
