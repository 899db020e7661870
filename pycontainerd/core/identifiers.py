"""The rules for names and labels that every noun shares."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pycontainerd.core.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_IDENTIFIER = 76
"""Longest identifier of a namespace, container, task or exec, in characters."""
MAX_LABEL = 4096
"""Longest label, key plus value, in bytes."""

_IDENTIFIER = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*\Z")


def validate_identifier(value: str, what: str = "identifier") -> str:
    """Return 1 to 76 alphanumerics joined by single ``.``, ``_`` or ``-``; raise InvalidArgument for others."""
    if not value:
        raise InvalidArgument(f"{what} must not be empty")
    if len(value) > MAX_IDENTIFIER:
        raise InvalidArgument(what, value[:MAX_IDENTIFIER] + "…", f"longer than {MAX_IDENTIFIER} characters")
    if not _IDENTIFIER.match(value):
        raise InvalidArgument(what, value, "must be alphanumerics joined by single '.', '_' or '-'")
    return value


def validate_labels(labels: Mapping[str, str]) -> None:
    """Raise InvalidArgument when a key and its value together exceed 4096 bytes."""
    for key, value in labels.items():
        size = len(key.encode()) + len(value.encode())
        if size > MAX_LABEL:
            raise InvalidArgument("label", key[:64], f"key and value are {size} bytes, at most {MAX_LABEL} fit")


def stored_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Validate and return the labels that are kept: an empty value means no label."""
    validate_labels(labels)
    return {key: value for key, value in labels.items() if value}


def masked_labels(
    old: Mapping[str, str], new: Mapping[str, str], paths: Iterable[str], field: str = "labels"
) -> dict[str, str]:
    """Apply the ``labels`` and ``labels.<key>`` paths of an update mask; other paths are the caller's business.

    Everything after the first dot is the key, since keys contain dots; an empty value removes the label.
    """
    result = dict(old)
    for path in paths:
        head, dot, key = path.partition(".")
        if head != field:
            continue
        if not dot:
            result = dict(new)
        elif new.get(key):
            result[key] = new[key]
        else:
            result.pop(key, None)
    return stored_labels(result)
