"""File descriptors: closing, reading, writing whole files, and passing them between processes.

Sockets here are `_socket.socket`, the C type: the `socket` module would import `enum` and `selectors`, which
processes that must stay small cannot afford.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_F_SETPIPE_SZ = 1031
_MAX_FD = 1 << 20
_CHUNK = 16 << 10  # a buffer of this size is allocated for each read, however little there is


def close(fd: int) -> None:
    """Close a descriptor, if it is one; errors are of no use to anyone here."""
    if fd >= 0:
        try:
            os.close(fd)
        except OSError:
            pass


def close_all_but(keep: Iterable[int]) -> None:
    """Close every descriptor of the process except those named (close_range(2) between them)."""
    low = 0
    for fd in sorted(set(keep)):
        if fd > low:
            os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, _MAX_FD)


def null_stdio() -> None:
    """Make descriptors 0, 1 and 2 /dev/null."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)


def pipe(size: int = 0) -> tuple[int, int]:
    """A pipe (read end, write end), close-on-exec, enlarged to `size` bytes where the limits allow."""
    ends = os.pipe2(os.O_CLOEXEC)
    if size:
        try:
            fcntl.fcntl(ends[1], _F_SETPIPE_SZ, size)
        except OSError:
            pass  # /proc/sys/fs/pipe-max-size or the user's quota: a smaller pipe only costs speed
    return ends


def read_some(fd: int, limit: int) -> bytes | None:
    """Up to `limit` bytes, b"" at the end, None when nothing is there yet (non-blocking). Raises OSError."""
    try:
        return os.read(fd, limit)
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno == errno.EIO:
            return b""  # a pty master whose other side is closed
        raise


def write_some(fd: int, data: bytes | memoryview) -> int:
    """How many bytes a non-blocking descriptor took, 0 when it is full. Raises OSError, EPIPE among them."""
    try:
        return os.write(fd, data)
    except BlockingIOError:
        return 0


def read_file(path: str, limit: int = 16 << 20) -> bytes:
    """The contents of a file of at most `limit` bytes. Raises OSError (EFBIG beyond the limit) naming the path."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        chunks: list[bytes] = []
        left = limit + 1
        while left > 0:
            chunk = os.read(fd, min(left, _CHUNK))
            if not chunk:
                return b"".join(chunks)
            chunks.append(chunk)
            left -= len(chunk)
    finally:
        os.close(fd)
    raise OSError(errno.EFBIG, f"larger than {limit} bytes", path)


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data` to a blocking descriptor. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_file(path: str, data: bytes, mode: int = 0o600) -> None:
    """Write a file in one go, replacing what was there. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        write_all(fd, data)
    finally:
        os.close(fd)


def replace_file(path: str, data: bytes, mode: int = 0o600) -> None:
    """Write a file under another name and rename it, so that readers see all of it or nothing. Raises OSError."""
    folder, _, name = path.rpartition("/")
    temporary = f"{folder}/.{name}.new"
    write_file(temporary, data, mode)
    os.rename(temporary, path)


def accept(listener: _socket.socket) -> _socket.socket:
    """The next waiting connection, close-on-exec and blocking. Raises OSError, BlockingIOError when none waits."""
    fd, _address = listener._accept()  # type: ignore[attr-defined]
    return _socket.socket(fileno=fd)


def peer_uid(sock: _socket.socket) -> int:
    """The user id of the process at the other end of a connected unix socket. Raises OSError."""
    credentials = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    return int(struct.unpack("3i", credentials)[1])


def receive_fds(sock: _socket.socket, size: int, count: int = 1) -> tuple[bytes, list[int]]:
    """One message and the descriptors that came along, close-on-exec. Raises OSError."""
    data, ancillary, _flags, _address = sock.recvmsg(size, _socket.CMSG_SPACE(4 * count), _socket.MSG_CMSG_CLOEXEC)
    received: list[int] = []
    for level, kind, payload in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            received.extend(struct.unpack(f"{len(payload) // 4}i", payload[: len(payload) // 4 * 4]))
    return data, received


def send_fds(sock: _socket.socket, data: bytes, descriptors: Iterable[int] = ()) -> None:
    """Send one message with descriptors. Raises OSError."""
    numbers = list(descriptors)
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack(f"{len(numbers)}i", *numbers))] if numbers else []
    sock.sendmsg([data], rights)
