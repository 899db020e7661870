"""Between the API's messages and core's values. Everything a second service would need is here, once.

Unset times travel as year 1, which is Go's zero time: a field left out would be read as 1970. Any values carry the
type URL as the engine stored it, without prefix.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from google.protobuf.any_pb2 import Any
from google.protobuf.timestamp_pb2 import Timestamp

from pycontainerd.api.types.descriptor_pb2 import Descriptor as DescriptorMessage
from pycontainerd.api.types.mount_pb2 import Mount as MountMessage
from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.values import EPOCH, AnyValue, Descriptor, Mount, Platform

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from google.protobuf.message import Message

    from pycontainerd.api.types.platform_pb2 import Platform as PlatformMessage

YEAR_ONE = -62135596800
"""0001-01-01T00:00:00Z in seconds since the epoch: how an unset time travels."""


def require(message: Message, *fields: str) -> None:
    """Raise InvalidArgument unless each sub-message ``fields`` of ``message`` is present."""
    for name in fields:
        if not message.HasField(name):
            raise InvalidArgument(f"the request carries no {name}")


def to_timestamp(when: datetime | None) -> Timestamp:
    """A time as the API carries it; None is year 1."""
    if when is None:
        return Timestamp(seconds=YEAR_ONE)
    delta = when - EPOCH
    return Timestamp(seconds=delta.days * 86400 + delta.seconds, nanos=delta.microseconds * 1000)


def from_timestamp(message: Timestamp) -> datetime | None:
    """A time from the API, None for year 1. Raises InvalidArgument outside of the years 1 to 9999."""
    if message.seconds == YEAR_ONE and not message.nanos:
        return None
    try:
        return EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)
    except OverflowError as error:
        raise InvalidArgument("timestamp", message.seconds, "outside of the years 1 to 9999") from error


def optional_time(message: Message, field: str) -> datetime | None:
    """The time in ``field``, None when the field is absent or year 1."""
    return from_timestamp(getattr(message, field)) if message.HasField(field) else None


def now() -> datetime:
    """The current time, aware."""
    return datetime.now(UTC)


def to_any(value: AnyValue | None) -> Any | None:
    """An Any as it was stored; None stays absent."""
    return None if value is None else Any(type_url=value.type_url, value=value.value)


def from_any(message: Any) -> AnyValue:
    """An Any as it came."""
    return AnyValue(message.type_url, message.value)


def optional_any(message: Message, field: str) -> AnyValue | None:
    """The Any in ``field``, None when the field is absent."""
    return from_any(getattr(message, field)) if message.HasField(field) else None


def from_any_map(messages: Mapping[str, Any]) -> dict[str, AnyValue]:
    """A map of Anys, as extensions and payloads are."""
    return {key: from_any(messages[key]) for key in messages}


def pack(message: Message) -> Any:
    """A message in an Any whose type URL is the bare full name."""
    return Any(type_url=message.DESCRIPTOR.full_name, value=message.SerializeToString())


def type_name(message: Any) -> str:
    """The message name inside an Any, whichever of the two spellings of the type URL was used."""
    return from_any(message).name


def to_descriptor(value: Descriptor) -> DescriptorMessage:
    """A descriptor for the API."""
    return DescriptorMessage(
        media_type=value.media_type, digest=value.digest, size=value.size, annotations=dict(value.annotations)
    )


def from_descriptor(message: DescriptorMessage) -> Descriptor:
    """A descriptor from the API; checked by the engine that uses it."""
    annotations = tuple(sorted(message.annotations.items()))
    return Descriptor(message.media_type, message.digest, message.size, annotations)


def to_mounts(mounts: Iterable[Mount]) -> list[MountMessage]:
    """Mounts for the API."""
    return [MountMessage(type=m.type, source=m.source, target=m.target, options=m.options) for m in mounts]


def from_mounts(messages: Iterable[MountMessage]) -> tuple[Mount, ...]:
    """Mounts from the API."""
    return tuple(Mount(m.type, m.source, m.target, tuple(m.options)) for m in messages)


def from_platform(message: PlatformMessage) -> Platform:
    """A platform from the API."""
    return Platform(message.os, message.architecture, message.variant, message.os_version)
