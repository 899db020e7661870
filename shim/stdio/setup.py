"""The streams of one process: opened from the client's strings, connected to the runtime, drained at the end."""

from __future__ import annotations

import os

from pycontainerd.linux import pty
from pycontainerd.linux.fds import close, pipe
from shim.errors import from_oserror, invalid, precondition
from shim.loop import Parked
from shim.stdio.attach import Attachment, AttachSink
from shim.stdio.drivers import DRIVERS, log_sinks
from shim.stdio.input import Input, Source
from shim.stdio.logger import LoggerProgram
from shim.stdio.output import Output
from shim.stdio.sinks import FileSink, LogSink, PipeSink, Sink, fifo_sink
from shim.stdio.uri import Target, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.children import Children
    from shim.log import Log
    from shim.loop import Loop, Steps

DRAIN = 10.0
"""Seconds that a delete waits for output to reach its readers."""


class Names:
    """What a client asked for: the three strings, and whether the process gets a terminal."""

    __slots__ = ("stderr", "stdin", "stdout", "terminal")

    def __init__(self, stdin: str, stdout: str, stderr: str, terminal: bool) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.terminal = terminal


class Owner:
    """Whose the streams are: for logger programs, and who may reopen the pipes (uid and gid)."""

    __slots__ = ("container", "gid", "namespace", "uid")

    def __init__(self, namespace: str, container: str, uid: int = 0, gid: int = 0) -> None:
        self.namespace = namespace
        self.container = container
        self.uid = uid
        self.gid = gid


class Early:
    """A client's FIFOs before they are connected."""

    __slots__ = ("sinks", "source")

    def __init__(self) -> None:
        self.sinks: list[tuple[str, AttachSink]] = []
        self.source: Source | None = None

    def close(self) -> None:
        """Close them."""
        for _, sink in self.sinks:
            sink.abandon()
        if self.source is not None:
            self.source.close()
            self.source = None


class Stdio:
    """The streams of one process. `child` maps 0, 1 and 2 to the descriptors the runtime gets; close it with `handed`.

    Order: `open` → (`ready`) → the runtime runs with `child` → `handed` → for a terminal `console` → `start`; at the
    end `finish`, or `abandon` at any time.
    """

    def __init__(self, loop: Loop, children: Children, log: Log, names: Names) -> None:
        self._loop = loop
        self._children = children
        self._log = log
        self.names = names
        self.child: dict[int, int] = {}
        self.outputs: dict[str, Output] = {}
        self._owned: list[int] = []
        self._input: Input | None = None
        self._logger: LoggerProgram | None = None
        self._sinks: dict[str, list[Sink]] = {}
        self._source: Source | None = None
        self._master = -1
        self._size: tuple[int, int] | None = None
        self._attached: dict[str, Attachment] = {}
        self._early: dict[str, Early] = {}
        self._logs: dict[str, Sink] = {}
        self._started = False
        self._serial = 0
        self._stdin_closed = False

    def open(self, owner: Owner) -> None:
        """Open everything that exists before the process does. Raises RpcError; nothing stays open then."""
        try:
            self._open(owner)
        except OSError as error:
            self.abandon()
            raise from_oserror("stdio", error) from None
        except BaseException:
            self.abandon()
            raise

    def _open(self, owner: Owner) -> None:
        names = self.names
        if names.terminal and names.stderr and names.stderr != names.stdout:
            raise invalid("a terminal has one output: stderr must be empty")
        target = parse(names.stdout) if names.stdout else None
        stdin = parse(names.stdin) if names.stdin else None
        if stdin is not None and stdin.scheme not in ("fifo", "attach"):
            raise invalid(f"stdin {names.stdin!r} must be a FIFO's path or attach:")
        if stdin is not None and stdin.scheme == "fifo":
            self._source = Source(stdin.path, attached=False)
        if target is not None and target.scheme.startswith("binary"):
            self._open_logger(target, owner)
        else:
            self._sinks = self._open_sinks(target, owner)
        self._open_pipes(owner, wants_input=stdin is not None)

    def _open_sinks(self, target: Target | None, owner: Owner) -> dict[str, list[Sink]]:
        """The sinks of each stream that has somewhere to go."""
        if target is None or target.scheme == "fifo":
            sinks: dict[str, list[Sink]] = {}
            if target is not None:
                sinks["stdout"] = [fifo_sink(self._loop, target.path)]
            if self.names.stderr and not self.names.terminal:
                path = parse(self.names.stderr).path
                sinks["stderr"] = [fifo_sink(self._loop, path)]
            return sinks
        streams = ("stdout",) if self.names.terminal else ("stdout", "stderr")
        if target.scheme == "file":
            return {name: [FileSink(target.path)] for name in streams}
        if target.scheme in DRIVERS:
            self._logs = log_sinks(target, streams, self._loop, self._children, self._log)
            return {name: [sink] for name, sink in self._logs.items()}
        if target.scheme == "none":
            return {name: [] for name in streams}
        raise invalid(f"stdout {self.names.stdout!r}: {target.scheme} is no kind of output")

    def _open_logger(self, target: Target, owner: Owner) -> None:
        self._logger = LoggerProgram(self._loop, self._children, self._log, target)
        out, err = self._logger.spawn(owner.namespace, owner.container)
        if self.names.terminal:
            close(err)
            os.set_blocking(out, False)
            self._sinks["stdout"] = [PipeSink(self._loop, out)]
            return
        self._owned += [out, err]
        self._chown(owner, out, err)
        self.child[1], self.child[2] = out, err

    def _open_pipes(self, owner: Owner, wants_input: bool) -> None:
        """Without a terminal: one pipe a stream; a stream with nowhere to go is /dev/null."""
        if self.names.terminal:
            return
        if wants_input:
            mine, theirs = self._pipe(owner, writing=True)
            self.child[0] = theirs
            self._input = Input(self._loop, mine, terminal=False)
        for number, name in ((1, "stdout"), (2, "stderr")):
            if name in self._sinks:
                mine, self.child[number] = self._pipe(owner, writing=False)
                self.outputs[name] = Output(self._loop, mine, self._sinks.pop(name))

    def _pipe(self, owner: Owner, writing: bool) -> tuple[int, int]:
        """A pipe as (our end, the process's end)."""
        read, write = pipe()
        mine, theirs = (write, read) if writing else (read, write)
        os.set_blocking(mine, False)
        self._owned.append(theirs)
        self._chown(owner, theirs)
        return mine, theirs

    def _chown(self, owner: Owner, *descriptors: int) -> None:
        # A process that is not root can then reopen /dev/stdout.
        if owner.uid or owner.gid:
            for fd in descriptors:
                os.fchown(fd, owner.uid, owner.gid)

    def ready(self) -> Steps[None]:
        """Wait for a logger program. Raises RpcError."""
        if self._logger is not None:
            yield from self._logger.wait_ready()

    def handed(self) -> None:
        """The runtime has its copies: close ours, so that the end of the process is the end of the streams."""
        for fd in self._owned:
            close(fd)
        self._owned.clear()
        self.child.clear()

    def console(self, master: int) -> None:
        """The terminal's master side has come; it is closed here."""
        self._master = master
        if self._size is not None:
            self.resize(*self._size)
        if self.names.stdin:
            self._input = Input(self._loop, os.dup(master), terminal=True)
        self.outputs["stdout"] = Output(self._loop, master, self._sinks.pop("stdout", []))
        self.outputs["stdout"].ended.then(self._master_gone)

    def _master_gone(self) -> None:
        self._master = -1

    def start(self) -> None:
        """Begin to copy, also to those who attached before."""
        self._started = True
        for name, early in self._early.items():
            self._attached[name] = self._join(early, 0)
        self._early.clear()
        for output in self.outputs.values():
            output.start()
        if self._input is not None:
            if self._source is not None:
                self._input.add(self._source)
                self._source = None
            if self._stdin_closed:
                self._input.close_stdin()
            self._input.start()

    def close_stdin(self) -> None:
        """No more input will come."""
        self._stdin_closed = True
        if self._input is not None:
            self._input.close_stdin()

    def resize(self, width: int, height: int) -> None:
        """Set the terminal's size, now or when it comes; without a terminal nothing happens."""
        self._size = (width, height)
        if self._master >= 0:
            try:
                pty.set_size(self._master, width, height)
            except OSError:
                pass  # the process has just ended

    def first_output(self) -> list[Parked]:
        """What is set when a stream has given its first byte."""
        return [output.first for output in self.outputs.values()]

    def attach(self, names: Names, replay: int, waited_for: bool) -> str:
        """Join the streams through a client's FIFOs; return the attachment's name. Raises RpcError."""
        if self._logger is not None:
            raise precondition("a logger program reads the output of this process")
        early = self._open_early(names, waited_for)
        self._serial += 1
        name = str(self._serial)
        if self._started:
            self._attached[name] = self._join(early, replay)
        else:
            self._early[name] = early
        return name

    def _open_early(self, names: Names, waited_for: bool) -> Early:
        """The client's FIFOs, not yet connected: an exec has no streams before it is started."""
        early = Early()
        try:
            for stream, path in (("stdout", names.stdout), ("stderr", names.stderr)):
                if path and (stream in self.outputs or not self._started):
                    early.sinks.append((stream, AttachSink(self._loop, path, waited_for)))
            if names.stdin and (self._input is not None or not self._started):
                early.source = Source(names.stdin, attached=True)
        except OSError as error:
            early.close()
            raise from_oserror("attach", error) from None
        return early

    def _join(self, early: Early, replay: int) -> Attachment:
        """Connect them to the streams there are; close the others."""
        sinks: list[tuple[Output, AttachSink]] = []
        for stream, sink in early.sinks:
            output = self.outputs.get(stream)
            if output is None:
                sink.abandon()
                continue
            past = output.tail.last(replay)
            if past:
                sink.write(past)
            output.add(sink)
            sinks.append((output, sink))
        source = early.source
        if source is not None and self._input is None:
            source.close()
            source = None
        if source is not None and self._input is not None:
            self._input.add(source)
        return Attachment(sinks, self._input, source)

    def detach(self, name: str) -> bool:
        """Leave; False when there is no such attachment."""
        early = self._early.pop(name, None)
        if early is not None:
            early.close()
            return True
        attachment = self._attached.pop(name, None)
        if attachment is None:
            return False
        attachment.detach()
        return True

    def reopen_log(self) -> None:
        """Write to the log file that now has the name. Raises RpcError: FAILED_PRECONDITION when the log is no file."""
        sink = next(iter(self._logs.values()), None)
        if not isinstance(sink, LogSink):
            raise precondition(f"stdout {self.names.stdout!r}: only a log file can be reopened")
        try:
            sink.reopen()  # the streams share the file
        except OSError as error:
            raise from_oserror("reopen log", error) from None

    def finish(self) -> Steps[None]:
        """The process is gone: let what it wrote reach its readers, for `DRAIN` seconds at most, and close."""
        over = Parked()
        timer = self._loop.later(DRAIN, over.set)
        if self._logger is not None:
            self._logger.finish()
        ends = [output.ended for output in self.outputs.values()]
        if self._logger is not None:
            ends.append(self._logger.ended)
        left = [len(ends)]

        def one() -> None:
            left[0] -= 1
            if left[0] == 0:
                over.set()

        for end in ends:
            end.then(one)
        if ends:
            yield from over
        timer.cancel()
        self.abandon()

    def abandon(self) -> None:
        """Close everything at once."""
        self.handed()
        for output in self.outputs.values():
            output.abandon()
        for sinks in self._sinks.values():
            for sink in sinks:
                sink.abandon()
        self._sinks = {}
        for early in self._early.values():
            early.close()
        self._early.clear()
        if self._input is not None:
            self._input.abandon()
        if self._source is not None:
            self._source.close()
            self._source = None
        if self._logger is not None:
            self._logger.abandon()
