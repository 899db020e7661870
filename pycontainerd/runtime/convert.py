"""Between the shim's protobuf messages and the values of ``core``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from google.protobuf import any_pb2

from pycontainerd.api.types import mount_pb2
from pycontainerd.core.tasks import Exit, Process, Status, Stdio
from pycontainerd.core.values import EPOCH, AnyValue
from pycontainerd.wire import times
from pycontainerd.wire.messages.google import Timestamp

if TYPE_CHECKING:
    from google.protobuf import timestamp_pb2

    from pycontainerd.api.runtime.task.v3 import task_pb2
    from pycontainerd.core.values import Mount


def any_message(value: AnyValue | None) -> any_pb2.Any | None:
    """The Any of a value; None stays None, which protobuf takes as absent."""
    return None if value is None else any_pb2.Any(type_url=value.type_url, value=value.value)


def any_value(message: any_pb2.Any) -> AnyValue | None:
    """The value of an Any; None for one that was left empty."""
    return AnyValue(message.type_url, message.value) if message.type_url or message.value else None


def mount_message(mount: Mount) -> mount_pb2.Mount:
    return mount_pb2.Mount(type=mount.type, source=mount.source, target=mount.target, options=mount.options)


def time_of(stamp: timestamp_pb2.Timestamp | Timestamp) -> datetime | None:
    """An aware time, cut to microseconds; None for one left out, and for year 1, which means "not yet"."""
    if stamp.seconds == times.UNSET_SECONDS or (stamp.seconds == 0 and stamp.nanos == 0):
        return None
    try:
        return EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
    except OverflowError:
        return None


def stamp_of(time: datetime | None) -> Timestamp:
    """The event's Timestamp of a time; year 1 for None."""
    if time is None:
        return times.unset()
    delta = time - EPOCH
    return Timestamp(seconds=delta.days * 86400 + delta.seconds, nanos=delta.microseconds * 1000)


def now() -> datetime:
    return datetime.now(UTC)


def process_of(id: str, exec_id: str, state: task_pb2.StateResponse) -> Process:
    """A process as the shim describes it."""
    try:
        status = Status(state.status)
    except ValueError:
        status = Status.UNKNOWN
    stdio = Stdio(state.stdin, state.stdout, state.stderr, state.terminal)
    return Process(id, exec_id, state.pid, status, stdio, state.exit_status, time_of(state.exited_at))


def exit_of(answer: task_pb2.DeleteResponse, id: str) -> Exit:
    return Exit(answer.pid, answer.exit_status, time_of(answer.exited_at), id)
