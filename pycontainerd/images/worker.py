"""The unpack worker: a process that applies or computes one layer, shut into the directories concerned.

The daemon execs one *template* (``main``), which has imported everything and then forks one worker per job; the
template is single-threaded and never touches a layer. Descriptor 3 of the template is a SOCK_SEQPACKET socket; each
packet carries descriptors only: the job's own stream socket and its blob (to read) or pipe (to write). On the job's
socket one JSON line comes in and one goes out:

    {"op": "apply", "root" | "mounts" + "scratch", "parents", "overlay", "userxattr", "compression", "sync", "limits"}
        → {"digest", "size", "entries", "implied"}
    {"op": "compare", "lower", "upper", "scratch", "compression", "epoch"} → {"digest", "size"}
    {"op": "dress", "root", "parents", "paths"} → {}
    any failure → {"error": class name in core.errors, "message"}

The worker dies when its socket closes (the daemon is gone or gave up) and it answers before it exits. Order of
confinement: see ``linux.confine``. Everything a layer contains is data here: no path of it is imported, looked up,
loaded or executed, which a test with a poisoned standard library shows.
"""

from __future__ import annotations

import errno
import gc
import hashlib
import json
import os
import queue
import resource
import signal
import socket
import sys
import threading

from pycontainerd.images import compression
from pycontainerd.images.extract import Extractor, write_all
from pycontainerd.images.layerdiff import LayerWriter, changes
from pycontainerd.images.layerdirs import Directories
from pycontainerd.images.tarreader import TarReader
from pycontainerd.images.tarstream import ByteStream, Limits, TarError
from pycontainerd.linux import confine, idmap, loop
from pycontainerd.linux.libc import libc, oserror
from pycontainerd.linux.mount import mount_all
from pycontainerd.linux.mountcall import mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

CONTROL = 3
_QUEUE = 6
_MAX_REQUEST = 4 << 20
SETTLE = {confine.CAP_CHOWN, confine.CAP_DAC_OVERRIDE, confine.CAP_FOWNER, confine.CAP_FSETID, confine.CAP_SETFCAP}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.ENOMEM}
_LAZY = (idmap, loop)  # imported by `mount` only when needed, which would be too late here


class Mount:
    """A mount from a request, as ``linux.mount`` takes it."""

    __slots__ = ("options", "source", "target", "type")

    def __init__(self, value: Sequence[Any]) -> None:
        self.type, self.source, self.target, self.options = str(value[0]), str(value[1]), str(value[2]), list(value[3])


class Pipeline:
    """Reads a blob, decompresses it and hashes the result in threads of their own; those release the GIL for nearly
    all they do, so that extraction goes on meanwhile."""

    def __init__(self, blob: int, kind: str | None, limits: Limits) -> None:
        self._blob, self._kind, self._limits = blob, kind, limits
        self._seekable, self._offset = _is_file(blob), 0
        self._pieces: queue.Queue[bytes | Exception] = queue.Queue(_QUEUE)
        self._to_hash: queue.Queue[bytes] = queue.Queue(_QUEUE)
        self._hash = hashlib.sha256()
        self.size = 0
        self._threads = [threading.Thread(target=self._produce), threading.Thread(target=self._digest)]
        for thread in self._threads:
            thread.start()

    def next_piece(self) -> bytes:
        """The next piece of the uncompressed stream, empty at its end. Raises what the producer ran into."""
        piece = self._pieces.get()
        if isinstance(piece, Exception):
            raise piece
        if not piece:
            self._pieces.put(b"")  # the end stays the end
        return piece

    def result(self) -> str:
        """The digest of all of it, once the end was read."""
        for thread in self._threads:
            thread.join()
        return "sha256:" + self._hash.hexdigest()

    def _read(self, size: int) -> bytes:
        if not self._seekable:
            return os.read(self._blob, size)
        data = os.pread(self._blob, size, self._offset)
        self._offset += len(data)
        return data

    def _produce(self) -> None:
        limits = self._limits
        try:
            for piece in compression.decompress(self._read, self._kind):
                self.size += len(piece)
                if limits.bytes and self.size > limits.bytes + limits.free:
                    raise TarError(f"the layer holds more than {limits.bytes} bytes")
                if limits.ratio and self.size > limits.free and self.size > limits.ratio * self._offset:
                    raise TarError(f"the layer unpacks to more than {limits.ratio} times its size")
                self._to_hash.put(piece)
                self._pieces.put(piece)
            self._pieces.put(b"")
        except Exception as error:  # noqa: BLE001 - carried over to the extracting thread
            self._pieces.put(error)
        finally:
            self._to_hash.put(b"")

    def _digest(self) -> None:
        while piece := self._to_hash.get():
            self._hash.update(piece)


def _is_file(fd: int) -> bool:
    """Whether it has positions, as a blob has, which several may read at once; a pipe has none."""
    try:
        os.lseek(fd, 0, os.SEEK_CUR)
    except OSError:
        return False
    return True


def apply(request: dict[str, Any], job: socket.socket, blob: int) -> dict[str, Any]:
    """Extract the blob below the root or mounts that the request names."""
    parents = [os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for path in request.get("parents", ())]
    confine.private_mounts()
    _enter(request)
    keep = SETTLE | {confine.CAP_MKNOD}
    if request["overlay"] and not request["userxattr"]:
        keep |= {confine.CAP_SYS_ADMIN}  # for trusted.overlay.opaque
    shut_in(job, {blob, *parents}, keep)
    limits = Limits(**request.get("limits", {}))
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    pipeline = Pipeline(blob, request["compression"], limits)
    stream = ByteStream(pipeline.next_piece)
    reader = TarReader(stream, limits)
    extractor = Extractor(root, overlay=request["overlay"], userxattr=request["userxattr"], parents=parents)
    extractor.apply(reader)
    stream.drain()
    digest = pipeline.result()
    if request.get("sync") and libc.syncfs(root) < 0:
        raise oserror("syncfs")
    implied = [os.fsdecode(path) for path in extractor.implied]
    return {"digest": digest, "size": pipeline.size, "entries": reader.entries, "implied": implied}


def dress(request: dict[str, Any], job: socket.socket, _unused: int) -> dict[str, Any]:
    """Give directories that a layer only implied the looks they have in parent layers."""
    parents = [os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for path in request["parents"]]
    confine.private_mounts()
    _enter(request)
    shut_in(job, set(parents), SETTLE)
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    directories = Directories(root, parents)
    directories.model([os.fsencode(path) for path in request["paths"]])
    directories.finish()
    return {}


def compare(request: dict[str, Any], job: socket.socket, out: int) -> dict[str, Any]:
    """Write what ``upper`` has over ``lower`` to the pipe as a compressed layer."""
    enter_both(request)
    shut_in(job, {out}, {confine.CAP_DAC_OVERRIDE, confine.CAP_DAC_READ_SEARCH})
    sink = Sink(out, request["compression"])
    writer = LayerWriter(b"/upper", sink.write, request.get("epoch"))
    writer.run(changes(b"/lower", b"/upper"))
    return {"digest": sink.close(), "size": sink.size}


class Sink:
    """Hashes, compresses and writes in a thread of its own."""

    def __init__(self, out: int, kind: str) -> None:
        self._out, self._packer, self._hash = out, compression.compressor(kind), hashlib.sha256()
        self._buffer: list[bytes] = []
        self._buffered = self.size = 0
        self._queue: queue.Queue[bytes] = queue.Queue(_QUEUE)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Take a piece of the archive; small ones are gathered. Raises what the writing thread ran into."""
        self._buffer.append(data)
        self._buffered += len(data)
        if self._buffered >= 1 << 20:
            self._flush()

    def _flush(self) -> None:
        if self._error is not None:
            raise self._error
        data = b"".join(self._buffer)
        self._buffer.clear()
        self._buffered = 0
        if data:
            self.size += len(data)
            self._queue.put(data)

    def close(self) -> str:
        """Write what is left; return the digest of the uncompressed archive."""
        self._flush()
        self._queue.put(b"")
        self._thread.join()
        if self._error is not None:
            raise self._error
        os.close(self._out)
        return "sha256:" + self._hash.hexdigest()

    def _run(self) -> None:
        while data := self._queue.get():
            if self._error is None:
                try:
                    self._hash.update(data)
                    write_all(self._out, self._packer.compress(data))
                except Exception as error:  # noqa: BLE001 - carried over to the walking thread
                    self._error = error
        try:
            if self._error is None:
                write_all(self._out, self._packer.flush())
        except OSError as error:
            self._error = error


def _enter(request: dict[str, Any]) -> None:
    """Make the target the root: a directory as it is, or mounts made (in this namespace only) on the scratch one."""
    root = request.get("root")
    if root is None:
        root = request["scratch"]
        mount_all([Mount(each) for each in request["mounts"]], root)
    else:
        mount(root, root, "", 0x1000 | 0x4000)
    confine.enter_root(root)


def enter_both(request: dict[str, Any]) -> None:
    """Make a root that holds nothing but the two trees, at ``/lower`` and ``/upper``, and enter it."""
    scratch = request["scratch"]
    confine.private_mounts()
    mount("tmpfs", scratch, "tmpfs", 0, "mode=0700,size=1m")
    for name in ("lower", "upper"):
        os.mkdir(f"{scratch}/{name}", 0o700)
        mount_all([Mount(each) for each in request[name]], f"{scratch}/{name}")
    confine.enter_root(scratch)


def shut_in(job: socket.socket, keep_fds: set[int], keep_capabilities: set[int]) -> None:
    """The second half of shutting in. Threads start only after it: roots and capabilities are each thread's own."""
    confine.drop_privileges(frozenset(keep_capabilities))
    confine.close_others(frozenset(keep_fds | {job.fileno()}))
    confine.forget_imports()
    threading.Thread(target=_watch, args=(job,), daemon=True).start()


if TYPE_CHECKING:
    Operation = Callable[[dict[str, Any], socket.socket, int], dict[str, Any]]
_OPERATIONS: dict[str, Operation] = {
    "apply": apply,
    "compare": compare,
    "dress": dress,
}


def _failure(error: BaseException) -> dict[str, Any]:
    if isinstance(error, TarError):
        return {"error": "InvalidArgument", "message": str(error)}
    if isinstance(error, MemoryError):
        return {"error": "ResourceExhausted", "message": "not enough memory to unpack the layer"}
    if isinstance(error, OSError):
        name = f' "{error.filename}"' if error.filename else ""
        kind = "ResourceExhausted" if error.errno in _FULL else "Unknown"
        return {"error": kind, "message": f"{error.strerror or error}{name}"}
    return {"error": "Unknown", "message": f"{type(error).__name__}: {error}"}


def _read_request(connection: socket.socket) -> dict[str, Any]:
    data = b""
    while not data.endswith(b"\n"):
        piece = connection.recv(1 << 16)
        if not piece or len(data) > _MAX_REQUEST:
            os._exit(1)
        data += piece
    request: dict[str, Any] = json.loads(data)
    return request


def _watch(connection: socket.socket) -> None:
    """End with the daemon (or with its interest): a worker must not write into a directory that is being removed."""
    try:
        connection.recv(1)
    finally:
        os._exit(1)


def work(job: int, other: int) -> None:
    """One job from request to answer; never returns."""
    connection = socket.socket(fileno=job)
    try:
        os.umask(0)
        request = _read_request(connection)
        answer = _OPERATIONS[request["op"]](request, connection, other)
    except BaseException as error:  # noqa: BLE001 - whatever it was, the daemon must hear of it
        answer = _failure(error)
    try:
        connection.sendall(json.dumps(answer).encode() + b"\n")
    finally:
        os._exit(0)


def main(more: dict[str, Operation]) -> None:
    """The template: wait for jobs on descriptor 3, fork a worker for each, end when the daemon is gone.

    ``more`` are operations of other modules; as with our own, all they need is imported by now.
    """
    _OPERATIONS.update(more)
    confine.preload()
    compression.warm()
    hashlib.sha256(bytes(1 << 16)).hexdigest()
    json.loads(json.dumps({"warm": [1, "é", None]}))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # removing a deep tree holds a descriptor a level
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # workers are reaped by the kernel
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=CONTROL)
    gc.disable()
    gc.freeze()
    while True:
        packet, fds, _, _ = socket.recv_fds(control, 16, 2)
        if not packet:
            return
        if len(fds) == 2 and os.fork() == 0:
            control.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            gc.enable()
            work(*fds)
        for fd in fds:
            os.close(fd)


if __name__ == "__main__":
    sys.exit("this module is started by the daemon")
