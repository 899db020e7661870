"""What every verb is handed: which daemon, which namespace, how much to say."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.client.daemon import Daemon

ADDRESS = "/run/pycontainerd/containerd.sock"
"""The daemon's gRPC socket; the light client uses the ttrpc one beside it."""


class Context:
    """The global flags, and the connection they lead to.

    ``spelling`` is how the verb was called (``container ls``); ``trace`` is empty, ``tree`` or ``json``.
    """

    def __init__(self) -> None:
        self.spelling = ""
        self.address = os.environ.get("PYCTR_ADDRESS") or ADDRESS
        self.namespace = os.environ.get("PYCTR_NAMESPACE") or "default"
        self.debug = False
        self.trace = ""
        self.metadata: list[tuple[str, str]] = []
        self._daemon: Daemon | None = None

    @property
    def ttrpc_address(self) -> str:
        """Where the light client connects."""
        return self.address if self.address.endswith(".ttrpc") else self.address + ".ttrpc"

    @property
    def fifo_directory(self) -> str:
        """Where FIFOs for attaching are made: beside the socket, which the shim can reach as we can."""
        return os.path.dirname(self.address) + "/fifo"

    @property
    def daemon(self) -> Daemon:
        """The daemon; nothing is connected before the first call."""
        if self._daemon is None:
            from pycontainerd.client.daemon import Daemon

            self._daemon = Daemon(self.ttrpc_address, self.namespace, self.metadata)
        return self._daemon

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._daemon is not None:
            self._daemon.close()
