"""``pycontainerd publish``: how shims that were given a publish binary send an event (runtime v2 contract).

Stands on the small codec alone; the event goes to the ttrpc socket beside the gRPC one.
"""

from __future__ import annotations

from pycontainerd.core.errors import InvalidArgument, Unavailable, Unknown
from pycontainerd.wire import times
from pycontainerd.wire.client import Client
from pycontainerd.wire.codes import RpcError
from pycontainerd.wire.messages.events_ttrpc import ForwardRequest
from pycontainerd.wire.messages.google import Any, Empty
from pycontainerd.wire.messages.types import Envelope
from pycontainerd.wire.scalars import DecodeError

SERVICE = "containerd.services.events.ttrpc.v1.Events"
TIMEOUT = 5.0
"""Seconds for the daemon to take the event."""


def publish(address: str, namespace: str, topic: str, payload: bytes) -> None:
    """Forward one event; ``payload`` is a serialized google.protobuf.Any.

    Raises InvalidArgument (payload), Unknown (the daemon refused), Unavailable (no daemon there).
    """
    try:
        event = Any.decode(payload)
    except DecodeError as error:
        raise InvalidArgument(f"the event on stdin is no google.protobuf.Any: {error}") from error
    envelope = Envelope(timestamp=times.now(), namespace=namespace, topic=topic, event=event)
    target = f"{address}.ttrpc"
    try:
        client = Client(target)
        client.call(SERVICE, "Forward", ForwardRequest(envelope=envelope), Empty, timeout=TIMEOUT)
    except RpcError as error:
        raise Unknown(error.message) from error
    except OSError as error:
        raise Unavailable("daemon", target, f"cannot be reached: {error.strerror or error}") from error
