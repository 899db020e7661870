"""A logger program of the user's (`binary://`): the container writes straight into pipes that the program reads.

The program gets stdout's pipe as descriptor 3, stderr's as 4, and 5 to close when it is ready (`binary-v2` wants a
byte first). The shim is not in the path, but keeps the reading ends: when the program dies the container must neither
be killed by SIGPIPE nor wait for ever, so its output is then read and thrown away, and the log says so.
"""

from __future__ import annotations

import os

from pycontainerd.linux.fds import close, pipe, read_some
from shim.errors import from_oserror, unknown
from shim.loop import READ, Parked
from shim.stdio.output import Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.children import Children, Exit
    from shim.log import Log
    from shim.loop import Loop, Steps
    from shim.stdio.uri import Target

START_LIMIT = 10.0
STOP_LIMIT = 2.0


class LoggerProgram:
    """One running program and the two pipes it reads."""

    def __init__(self, loop: Loop, children: Children, log: Log, target: Target) -> None:
        self._loop = loop
        self._children = children
        self._log = log
        self._target = target
        self._reading: list[int] = []
        self._pid = 0
        self._ready = -1
        self._answer = Parked()
        self._drains: list[Output] = []
        self._finishing = False
        self.ended = Parked()

    def spawn(self, namespace: str, container: str) -> tuple[int, int]:
        """Start the program; return the writing ends for the container. Raises RpcError naming the program."""
        arguments = [word for pair in self._target.query for word in pair if word or word is pair[0]]
        out, err, ready = pipe(), pipe(), pipe()
        try:
            self._pid = self._children.spawn(
                [self._target.path, *arguments],
                {"CONTAINER_ID": container, "CONTAINER_NAMESPACE": namespace},
                {2: 0, 3: out[0], 4: err[0], 5: ready[1]},
                self._exited,
            )
        except OSError as error:
            for fd in (*out, *err, *ready):
                close(fd)
            raise from_oserror("logger program", error) from None
        close(ready[1])
        self._reading = [out[0], err[0]]
        self._ready = ready[0]
        os.set_blocking(self._ready, False)
        self._loop.watch(self._ready, READ, self._readiness)
        return out[1], err[1]

    def _readiness(self, _events: int) -> None:
        data = read_some(self._ready, 16)
        if data is None:
            return
        if data or self._target.scheme == "binary":
            self._answer.set()
        else:
            self._answer.fail(unknown(f"logger program {self._target.path} ended its start without being ready"))
        self._forget_ready()

    def _forget_ready(self) -> None:
        if self._ready >= 0:
            self._loop.unwatch(self._ready)
            close(self._ready)
            self._ready = -1

    def wait_ready(self) -> Steps[None]:
        """Wait until the program is ready. Raises RpcError when it fails or takes too long."""
        late = unknown(f"logger program {self._target.path} was not ready within {START_LIMIT:.0f} seconds")
        timer = self._loop.later(START_LIMIT, lambda: self._answer.fail(late))
        try:
            yield from self._answer
        finally:
            timer.cancel()

    def _exited(self, ended: Exit) -> None:
        self._pid = 0
        self.ended.set()
        if self._finishing or not self._reading:
            self.abandon()
            return
        self._log.error(f"logger program {self._target.path} ended with status {ended.status}; output is being lost")
        for fd in self._reading:
            os.set_blocking(fd, False)
            drain = Output(self._loop, fd, [])
            self._drains.append(drain)
            drain.start()
        self._reading = []

    def finish(self) -> None:
        """The container is gone: the program sees the end of its pipes, and is ended if it stays all the same."""
        self._finishing = True
        for fd in self._reading:
            close(fd)
        self._reading = []

    def abandon(self) -> None:
        """Close the pipes and end the program, kindly first."""
        self.finish()
        self._forget_ready()
        for drain in self._drains:
            drain.abandon()
        self._drains = []
        if self._pid:
            self._kill(15)
            self._loop.later(STOP_LIMIT, lambda: self._kill(9))

    def _kill(self, number: int) -> None:
        if self._pid:
            os.kill(self._pid, number)
