"""A shim, put together and run: what the fork calls once the process is what it should be."""

from __future__ import annotations

import gc
import os

from pycontainerd.linux import prctl
from pycontainerd.wire.failpoint import hit
from shim.children import Children
from shim.context import Defaults, Shim
from shim.events import Publisher
from shim.log import Log
from shim.loop import Loop
from shim.server import Server
from shim.service import Service
from shim.states import STOPPED

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

    from pycontainerd.linux.sealed import Sealed
    from shim.container import Container
    from shim.request import ShimRequest

FLUSH = 5.0
"""Seconds that the last events may take to reach the daemon."""
LONELY = 60.0
"""A shim without a container and without a peer ends after about so many seconds."""
TIDY = 30.0
"""Seconds between two moments at which garbage is collected and free memory given back, if something has happened."""
THOROUGH = 20
"""One collection in so many looks at old objects, too; that copies pages which are shared with the template."""


class Embryo:
    """What every shim is made of before it is known whose it will be: its log, its loop, its ear for children."""

    __slots__ = ("children", "log", "loop")

    def __init__(self) -> None:
        self.log = Log()
        self.loop = Loop(self.log)
        self.children = Children(self.loop, self.log)

    def close(self) -> None:
        """Give back the descriptors."""
        self.children.close()
        self.loop.close()


def run(embryo: Embryo, request: ShimRequest, listener: _socket.socket, program: Sealed | None = None) -> None:
    """Serve until Shutdown."""
    log, loop, children = embryo.log, embryo.loop, embryo.children
    log.become(request.log_level, f" id={request.id} namespace={request.namespace}")
    events = Publisher(loop, log, request.events, request.namespace)
    defaults = Defaults(request.runtime, request.runtime_root, program)
    shim = Shim(request.namespace, loop, children, events, log, defaults)
    server = Server(loop, Service(shim), listener, log)
    life = Life(shim, server, request.socket)
    shim.shutdown = life.shutdown
    children.on_terminate = life.terminate
    loop.later(LONELY, life.check)
    loop.later(1.0, life.tidy)
    hit("shim.ready")
    loop.run()


class Life:
    """When a shim ends, and what it does between."""

    def __init__(self, shim: Shim, server: Server, socket: str) -> None:
        self._shim = shim
        self._server = server
        self._socket = socket
        self._inode = _inode(socket)
        self._turns = 0
        self._tidied = 0
        self._ending = False

    def shutdown(self) -> None:
        """Deliver what is to be delivered, then end. A container that came in between stops it."""
        if self._ending or self._shim.containers or self._shim.creating:
            return
        self._ending = True
        self._server.stop_listening()
        self.unlink()
        self._shim.loop.later(FLUSH, self._shim.loop.stop)
        self._shim.events.flushed().then(self._leave)

    def _leave(self) -> None:
        if self._server.busy:
            self._shim.loop.later(0.01, self._leave)
        else:
            self._shim.loop.stop()

    def terminate(self) -> None:
        """SIGTERM: end if there is nothing to look after."""
        if self._shim.containers or self._shim.creating:
            self._shim.journal.info("asked to terminate, but containers are running")
        else:
            self.shutdown()

    def check(self) -> None:
        """End a shim that was forgotten: nobody talks to it, and it holds nothing that lives or could be asked for.

        That is so when a daemon dies between fork and create, or cleans up a container without the shim.
        """
        shim = self._shim
        if not shim.creating and not self._server.connections and all(map(_is_over, shim.containers.values())):
            shim.journal.info("no living container and no peer: ending")
            shim.containers.clear()
            self.shutdown()
            return
        shim.loop.later(LONELY, self.check)

    def tidy(self) -> None:
        """Give memory back after work."""
        if self._shim.loop.turns > self._turns + 1:
            self._tidied += 1
            gc.collect(2 if self._tidied % THOROUGH == 0 else 1)
            prctl.trim_malloc()
        self._turns = self._shim.loop.turns
        self._shim.loop.later(TIDY, self.tidy)

    def unlink(self) -> None:
        """Remove the socket's name if it is still ours."""
        if self._inode and _inode(self._socket) == self._inode:
            try:
                os.unlink(self._socket)
            except OSError:
                pass


def _is_over(container: Container) -> bool:
    """Whether a container has ended and its bundle is gone, so that nobody can ask how."""
    return container.init.state == STOPPED and not os.path.isdir(container.bundle)


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0
