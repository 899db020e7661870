"""What a client has the daemon's history keep: what happened and only the client knows of."""

from __future__ import annotations

from pycontainerd.core.errors import PycontainerdError
from pycontainerd.wire.messages.google import Empty
from pycontainerd.wire.messages.history import Happened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.client.daemon import Daemon

SERVICE = "pycontainerd.events.v1.History"


def tell(daemon: Daemon, type: str, action: str, id: str, **attributes: str) -> None:
    """Tell of an event; type, action and attributes are Docker's.

    That it cannot be told is no failure: what it tells of has happened all the same.
    """
    try:
        daemon.call(SERVICE, "Tell", Happened(type=type, action=action, id=id, attributes=attributes), Empty)
    except PycontainerdError:
        pass
