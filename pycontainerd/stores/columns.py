"""How values are kept in columns: times, label maps and Any values."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pycontainerd.core.values import EPOCH, AnyValue

if TYPE_CHECKING:
    from collections.abc import Mapping

_GC = "containerd.io/gc."
_MICROSECOND = timedelta(microseconds=1)
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)


def to_micros(value: datetime) -> int:
    """Microseconds since the epoch."""
    return (value - EPOCH) // _MICROSECOND


def from_micros(value: int) -> datetime:
    """The time a column holds."""
    return EPOCH + timedelta(microseconds=value)


def to_text(mapping: Mapping[str, str]) -> str:
    """A label or annotation map as it is stored."""
    return _encode(dict(mapping)) if mapping else "{}"


def from_text(text: str) -> dict[str, str]:
    """A stored label or annotation map."""
    result: dict[str, str] = json.loads(text) if text != "{}" else {}
    return result


def labels_for_gc(text: str) -> dict[str, str]:
    """The stored labels if any of them matters to a collection, else nothing: most objects have none that do."""
    return from_text(text) if _GC in text else {}


def any_of(type_url: str | None, value: bytes | None) -> AnyValue | None:
    """The Any kept in two columns; both NULL when there was none."""
    return None if type_url is None else AnyValue(type_url, value or b"")


def anys_to_text(values: Mapping[str, AnyValue]) -> str:
    """A map of Any values (container extensions) as it is stored."""
    return _encode({key: [item.type_url, base64.b64encode(item.value).decode()] for key, item in values.items()})


def anys_from_text(text: str) -> dict[str, AnyValue]:
    """A stored map of Any values."""
    if text == "{}":
        return {}
    return {key: AnyValue(url, base64.b64decode(data)) for key, (url, data) in json.loads(text).items()}
