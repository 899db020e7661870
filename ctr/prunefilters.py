"""``--filter`` of the prunes: ``until=``, ``label=`` and ``label!=``, all of which must hold."""

from __future__ import annotations

import time

from ctr.errors import UsageError
from pycontainerd.client.times import parse_moment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class PruneFilter:
    """Tells what may go. Raises UsageError for a filter there is not, InvalidArgument for a time that is none."""

    def __init__(self, items: Sequence[str], *, more: Sequence[str] = ()) -> None:
        self._until = 0
        self._with: list[str] = []
        self._without: list[str] = []
        for item in items:
            key, equals, value = item.partition("=")
            if key == "until" and equals:
                self._until = parse_moment(value, time.time_ns())
            elif key == "label" and equals:
                self._with.append(value)
            elif key == "label!" and equals:
                self._without.append(value)
            elif key not in more:
                raise UsageError(f"invalid filter '{item}'", "there are until=, label= and label!=")

    def __call__(self, created: int, labels: Mapping[str, str]) -> bool:
        """Whether a thing of that age (nanoseconds since 1970) and with these labels passes."""
        if self._until and created >= self._until:
            return False
        return all(_has(labels, text) for text in self._with) and not any(_has(labels, text) for text in self._without)


def _has(labels: Mapping[str, str], text: str) -> bool:
    key, equals, value = text.partition("=")
    return key in labels and (not equals or labels[key] == value)
