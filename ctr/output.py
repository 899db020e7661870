"""Tables with Docker's columns, ``--format``, ``-q`` and ``--no-trunc``.

A row is a dict of strings by Docker's field names (``ID``, ``Names``, …). ``--format`` takes ``table``, ``json``, a
template, or ``table`` and a template.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Row = dict[str, Any]

GAP, NARROWEST = 3, 10
"""Blanks between columns, and the least width of a column with them: Docker's."""


class Table:
    """What a listing prints: the columns it has by default, as (field, heading), and headings of further fields."""

    def __init__(self, columns: Sequence[tuple[str, str]], more: Sequence[tuple[str, str]] = ()) -> None:
        self.columns = tuple(columns)
        self.headings = dict((*columns, *more))

    def print(self, rows: Sequence[Row], how: str = "") -> None:
        """Print the rows as ``--format`` asks."""
        sys.stdout.write(self.text(rows, how))

    def text(self, rows: Sequence[Row], how: str = "") -> str:
        """The rows as ``--format`` asks. Raises TemplateError."""
        if how in ("", "table"):
            lines = [[str(row.get(field, "")) for field, _ in self.columns] for row in rows]
            return aligned([[heading for _, heading in self.columns], *lines])
        if how == "json":
            how = "{{json .}}"
        from ctr.template import Template
        from ctr.template_fields import look_up_row

        if how.startswith("table "):
            template = Template(_unescaped(how.removeprefix("table ")), look_up_row)
            whole = [{**dict.fromkeys(self.headings, ""), **row} for row in rows]
            texts = [template.execute(self.headings), *(template.execute(row) for row in whole)]
            return aligned([text.split("\t") for text in texts])
        template = Template(_unescaped(how), look_up_row)
        whole = [{**dict.fromkeys(self.headings, ""), **row} for row in rows]
        return "".join(template.execute(row) + "\n" for row in whole)


def _unescaped(text: str) -> str:
    r"""``\t`` and ``\n`` as a shell's single quotes leave them."""
    return text.replace("\\t", "\t").replace("\\n", "\n")


def aligned(lines: Sequence[Sequence[str]], narrowest: int = NARROWEST) -> str:
    """Lines of cells under one another, ``GAP`` blanks between, columns at least ``narrowest`` wide; the last column as
    long as it is."""
    widths: list[int] = []
    for line in lines:
        for index, cell in enumerate(line[:-1]):
            if index == len(widths):
                widths.append(narrowest)
            widths[index] = max(widths[index], len(cell) + GAP)
    return "".join(
        "".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)) + line[-1] + "\n"
        for line in lines
    )


def ellipsis(text: str, width: int) -> str:
    """At most ``width`` characters, the last of them … when something is left out."""
    return text if len(text) <= width else text[: width - 1] + "…"


def short(id: str) -> str:
    """The first twelve digits of an id or digest."""
    return id.removeprefix("sha256:")[:12]
