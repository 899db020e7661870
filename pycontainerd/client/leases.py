"""Leases seen from outside: what holds things together while they are made."""

from __future__ import annotations

from pycontainerd.core.errors import NotFound
from pycontainerd.wire.messages import leases as messages
from pycontainerd.wire.messages.google import Empty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.client.daemon import Daemon

SERVICE = "containerd.services.leases.v1.Leases"


def create(daemon: Daemon, id: str, labels: dict[str, str]) -> None:
    """Raises AlreadyExists."""
    daemon.call(SERVICE, "Create", messages.CreateRequest(id=id, labels=labels), messages.CreateResponse)


def delete(daemon: Daemon, id: str) -> None:
    """Drop a lease; one that is gone is fine."""
    try:
        daemon.call(SERVICE, "Delete", messages.DeleteRequest(id=id), Empty)
    except NotFound:
        pass
