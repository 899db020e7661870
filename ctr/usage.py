"""The texts of ``pyctr --help`` and ``pyctr container --help``, made from the table of verbs."""

from __future__ import annotations

from ctr import verbs
from ctr.flags import flag_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ctr.flags import Flag


def text(flags: Sequence[Flag]) -> str:
    """The whole program's help."""
    rows = [(verb.spellings[0], verb.summary) for verb in verbs.table() if " " not in verb.spellings[0]]
    common, others = rows[: verbs.COMMON], sorted(rows[verbs.COMMON :])
    sections = [
        "Usage:  pyctr [OPTIONS] COMMAND",
        "Containers, as you know them from Docker",
        "Common Commands:\n" + _rows(common),
        "Management Commands:\n" + _rows(sorted(verbs.GROUPS.items())),
        "Commands:\n" + _rows(others),
        "Global Options:\n" + "\n".join(flag_lines(flags)),
        "Run 'pyctr COMMAND --help' for more information on a command.",
    ]
    return "\n\n".join(sections) + "\n"


def group_text(group: str) -> str:
    """The help of ``pyctr container`` and its like."""
    rows = []
    for verb in verbs.table():
        spelled = [spelling.split()[1] for spelling in verb.spellings if spelling.startswith(group + " ")]
        rows += [(spelled[0], verb.summary)] if spelled else []
    head = f"Usage:  pyctr {group} COMMAND\n\n{verbs.GROUPS[group]}"
    return f"{head}\n\nCommands:\n{_rows(sorted(rows))}\n\nRun 'pyctr {group} COMMAND --help' for more.\n"


def _rows(rows: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"  {name:<11} {summary}" for name, summary in rows)


def suggestion(word: str) -> str:
    """What the reader may have meant."""
    import difflib

    names = [verb.spellings[0] for verb in verbs.table()] + list(verbs.GROUPS)
    close = difflib.get_close_matches(word, names, 1)
    return f"did you mean 'pyctr {close[0]}'?" if close else "see 'pyctr --help'"
