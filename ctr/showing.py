"""Printing documents: as a JSON list, or each through a template; what cannot be shown is told at the end."""

from __future__ import annotations

import sys

from ctr.errors import describe
from pycontainerd.core.errors import PycontainerdError, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Json = dict[str, Any]


def show_all(names: Sequence[str], look_up: Callable[[str], Json], how: str) -> int:
    """Show what ``look_up`` finds by each name; exit code 1 if one was not there."""
    found: list[Json] = []
    failures: list[PycontainerdError] = []
    for name in names:
        try:
            found.append(look_up(name))
        except Unavailable:
            raise
        except PycontainerdError as error:
            failures.append(error)
    show(found, how)
    for failure in failures:
        print(f"pyctr: {describe(failure)[0]}", file=sys.stderr)
    return 1 if failures else 0


def show(found: Sequence[Json], how: str) -> None:
    """Print documents. Raises TemplateError."""
    if not how:
        import json

        print(json.dumps(found, indent=4, ensure_ascii=False))
        return
    from ctr.template import Template
    from ctr.template_fields import look_up

    template = Template("{{json .}}" if how == "json" else how, look_up)
    for document in found:
        print(template.execute(document))
