"""The console socket: where an OCI runtime delivers the terminal it has made."""

from __future__ import annotations

import _socket
import os

from pycontainerd.linux import pty
from pycontainerd.linux.fds import accept, close
from shim.errors import from_oserror, unknown

_PATH_LIMIT = 107


class ConsoleSocket:
    """A socket in the bundle for one process. Raises OSError when made."""

    __slots__ = ("_folder", "_socket", "_target", "path")

    def __init__(self, bundle: str, exec_id: str) -> None:
        self._target = f"{bundle}/console.{exec_id or 'init'}.sock"
        self._folder = -1
        self.path = self._target
        if len(os.fsencode(self.path)) > _PATH_LIMIT:
            # The runtime can name the bundle through our descriptor, however long its own name is.
            self._folder = os.open(bundle, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            name = self._target.rpartition("/")[2]
            if len(name) > 60:
                name = "console.sock"
            self._target = f"{bundle}/{name}"
            self.path = f"/proc/{os.getpid()}/fd/{self._folder}/{name}"
        try:
            os.unlink(self._target)
        except FileNotFoundError:
            pass
        kind = _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK
        self._socket = _socket.socket(_socket.AF_UNIX, kind)
        self._socket.bind(self.path)
        os.chmod(self._target, 0o600)
        self._socket.listen(2)

    def receive(self) -> int:
        """The terminal's master side, once the runtime has ended well. Raises RpcError when none was delivered."""
        try:
            connection = accept(self._socket)
        except OSError as error:
            raise from_oserror("the OCI runtime delivered no terminal", error) from None
        try:
            return pty.receive_master(connection)
        except (OSError, ValueError) as error:
            raise unknown(str(error)) from None
        finally:
            connection.close()

    def close(self) -> None:
        """Remove the socket."""
        self._socket.close()
        close(self._folder)
        self._folder = -1
        try:
            os.unlink(self._target)
        except OSError:
            pass
