"""Leases seen from outside: the reservation of a container's name."""

from __future__ import annotations

from pycontainerd.core.errors import NotFound
from pycontainerd.core.settings import lease_of
from pycontainerd.wire.messages import leases as messages
from pycontainerd.wire.messages.google import Empty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.client.daemon import Daemon

SERVICE = "containerd.services.leases.v1.Leases"
FLAT = "containerd.io/gc.flat"
"""Label: hold what is named, not what that refers to."""


def create(daemon: Daemon, id: str, labels: dict[str, str]) -> None:
    """Raises AlreadyExists."""
    daemon.call(SERVICE, "Create", messages.CreateRequest(id=id, labels=labels), messages.CreateResponse)


def delete(daemon: Daemon, id: str) -> None:
    """Drop a lease; one that is gone is fine."""
    try:
        daemon.call(SERVICE, "Delete", messages.DeleteRequest(id=id), Empty)
    except NotFound:
        pass


def find(daemon: Daemon, id: str) -> messages.Lease | None:
    """The lease of that id, if there is one."""
    request = messages.ListRequest(filters=[f'id=="{id}"'])
    found = daemon.call(SERVICE, "List", request, messages.ListResponse).leases
    return found[0] if found else None


OWNER = "io.pycontainerd/container"
"""Label on a name's lease: the id of the container that took it."""


def reserve(daemon: Daemon, name: str, id: str) -> None:
    """Take a container's name for ``id``. Raises AlreadyExists when it is taken."""
    create(daemon, lease_of(name), {FLAT: "true", OWNER: id})


def release(daemon: Daemon, name: str) -> None:
    """Give a name back."""
    delete(daemon, lease_of(name))
