"""Verbs that take several things: one that fails does not keep the others from being done."""

from __future__ import annotations

import sys

from ctr.errors import describe
from pycontainerd.core.errors import PycontainerdError, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def each(names: Sequence[str], act: Callable[[str], str | None]) -> int:
    """Do ``act`` with each name and print what it returns (the name itself for None); exit code 1 if any failed."""
    code = 0
    for name in names:
        try:
            said = act(name)
        except Unavailable:
            raise  # without a daemon the others fail alike
        except PycontainerdError as error:
            cause, hint = describe(error)
            sys.stdout.flush()
            print(f"pyctr: {cause}" + (f"\n  {hint}" if hint else ""), file=sys.stderr)
            code = 1
            continue
        said = name if said is None else said
        if said:
            print(said, flush=True)
    return code
