"""Putting together in memory what every shim runs.

A process forked from the template copies each page that it writes to, and running a function writes to it: CPython
counts the users of code objects and constants, and keeps notes in the code itself. The functions of a container's life
are a fifth of all that is loaded; spread over the modules they lie in they make a shim copy half of the template. So
their code is made anew, in the order in which it is run (`hotcode`), and what a shim allocates follows right behind it.
"""

from __future__ import annotations

import gc
from types import CodeType, FunctionType

from pycontainerd.linux.pymalloc import fill_holes, take_from_malloc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def functions_of(names: list[str], root: str) -> list[FunctionType]:
    """The functions of these names, in their order: `path:qualified name`, our own paths below the directory `root`.

    Names that are not there are passed over.
    """
    rank = {name if name.startswith("<") else f"{root}/{name}": place for place, name in enumerate(names)}
    found = [value for value in gc.get_objects() if isinstance(value, FunctionType)]
    hot = [(rank[key], value) for value in found if (key := _key(value.__code__)) in rank]
    hot.sort(key=_rank)
    return [value for _, value in hot]


def compact(functions: list[FunctionType]) -> list[object]:
    """Move the code of these functions.

    To be kept: everything that is returned, as what it would free would be used again, on pages better left alone.
    """
    moved: dict[int, CodeType] = {}
    kept: list[object] = [functions, moved]
    for function in functions:
        _complete(function.__code__)
    if take_from_malloc():
        fill_holes()
        for function in functions:
            kept.append(function.__code__)
            function.__code__ = _moved(function.__code__, moved)
    return kept


def _rank(item: tuple[int, FunctionType]) -> int:
    return item[0]


def _key(code: CodeType) -> str:
    return f"{code.co_filename}:{code.co_qualname}"


def _complete(code: CodeType) -> None:
    """Have the code make, and keep, what it makes on demand, so that nothing comes between the copies."""
    _ = code.co_code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            _complete(const)


def _moved(code: CodeType, moved: dict[int, CodeType]) -> CodeType:
    """A copy of the code, and of the code of functions inside it; many functions may share one."""
    copy = moved.get(id(code))
    if copy is None:
        consts = code.co_consts
        if any(isinstance(const, CodeType) for const in consts):
            consts = tuple(_moved(const, moved) if isinstance(const, CodeType) else const for const in consts)
        copy = moved[id(code)] = code.replace(co_consts=consts)
    return copy


def words_of(functions: Iterable[FunctionType]) -> dict[str, None]:
    """The names of attributes and globals in functions, in the order of their first use."""
    return dict.fromkeys(name for function in functions for name in _words(function.__code__))


def _words(code: CodeType) -> Iterator[str]:
    """The names in a function, and in the functions inside it; among its strings, those that could be names."""
    yield from code.co_names
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _words(const)
        elif type(const) is str and const.isidentifier():
            yield const
