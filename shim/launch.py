"""Starting a shim for a daemon that is not ours: the socket's name, and a template shared by all such shims."""

from __future__ import annotations

import _socket
import fcntl
import os
import sys

from pycontainerd.linux import fds
from pycontainerd.linux.prctl import oom_score
from shim.errors import unknown
from shim.jsontext import dumps, loads
from shim.sockets import CONTROL, MESSAGE, PATH_LIMIT, PYTHON_FLAGS, TEMPLATE_IDLE, TEMPLATE_SOCKET, answers, unlink
from shim.spec import group_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.wire.messages.bootstrap import BootstrapParams

SOCKET_DIR = "/run/containerd/s"
TEMPLATE_DIR = "/run/pycontainerd/shim-template"
_SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def launch(namespace: str, id: str, bundle: str, grpc_address: str, debug: bool, params: BootstrapParams | None) -> str:
    """Start a shim for the bundle, or find the group's; return its address. Raises OSError and RpcError."""
    group = group_of(bundle) or id
    folder = (params.socket_dir if params is not None else None) or SOCKET_DIR
    grpc = grpc_address or os.environ.get("GRPC_ADDRESS", "")
    path = socket_path(folder, grpc, namespace, group)
    address = f"unix://{path}"
    listener = claim(path)
    if listener is not None:
        try:
            _ask_template(_request(namespace, group, bundle, path, grpc, debug), listener.fileno())
        except BaseException:
            unlink(path)
            raise
        finally:
            listener.close()
    if params is None:
        # containerd 1.6 finds the shim again by this file
        fds.replace_file(f"{bundle}/address", address.encode())
    elif params.socket_dir:
        _link(folder, f"{bundle}/s")
    return address


def socket_path(folder: str, grpc_address: str, namespace: str, group: str) -> str:
    """The socket of a group's shim: the same for all its members, as containerd's own shim names it."""
    parts = [part for part in f"{grpc_address}/{namespace}/{group}".split("/") if part]
    absolute = "/" if grpc_address.startswith("/") else ""
    return f"{folder}/{_sha256((absolute + '/'.join(parts)).encode())}"


def _sha256(data: bytes) -> str:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found,unused-ignore]  # hashlib would load OpenSSL
    except ImportError:
        from hashlib import sha256
    return str(sha256(data).hexdigest())


def claim(path: str) -> _socket.socket | None:
    """A listening socket at `path`, None when a shim answers there already. Raises OSError.

    It listens before it gets its name, so whoever finds the name can connect; two that start at once cannot both win.
    """
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    temporary = f"{os.path.dirname(path)}/.{os.getpid()}"
    made = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    if max(len(os.fsencode(path)), len(os.fsencode(temporary))) > PATH_LIMIT:
        raise OSError(36, f"socket path is longer than {PATH_LIMIT} bytes", path)
    mask = os.umask(0o177)
    try:
        unlink(temporary)
        made.bind(temporary)
        made.listen(128)
        for _ in range(2):
            try:
                os.link(temporary, path)
                return made
            except FileExistsError:
                if answers(path):
                    made.close()
                    return None
                unlink(path)
        raise OSError(98, "cannot listen: another shim keeps taking the address", path)
    finally:
        os.umask(mask)
        unlink(temporary)


def _request(namespace: str, group: str, bundle: str, path: str, grpc: str, debug: bool) -> bytes:
    try:
        score: int | None = min(oom_score(os.getppid()) + 1, 1000)
    except OSError:
        score = None
    fields = {
        "seq": 1,
        "namespace": namespace,
        "id": group,
        "bundle": bundle,
        "socket": path,
        "events": os.environ.get("TTRPC_ADDRESS") or (f"{grpc}.ttrpc" if grpc else ""),
        "grpc_address": grpc,
        "log_level": "debug" if debug else "info",
        "oom_score_adj": score,
        "cgroup": "",
    }
    return dumps(fields).encode()


def _ask_template(request: bytes, listener: int) -> None:
    """Have the shared template fork the shim, starting one if there is none."""
    connection = _connect_template()
    try:
        fds.send_fds(connection, request, (listener,))
        reply = loads(connection.recv(MESSAGE) or b"{}")
    except (OSError, ValueError) as error:
        raise unknown(f"the shim template did not answer: {error}") from None
    finally:
        connection.close()
    if "pid" not in reply:
        raise unknown(f"cannot start a shim: {reply.get('error', 'the template gave no reason')}")


def template_socket() -> str:
    """Where the template of this installation and user listens."""
    usual = TEMPLATE_DIR if os.getuid() == 0 else f"/run/user/{os.getuid()}/pycontainerd/shim-template"
    folder = os.environ.get("PYCONTAINERD_TEMPLATE_DIR") or usual
    return f"{folder}/{_sha256(f'{_SOURCE} {sys.executable}'.encode())[:16]}.sock"


def _connect_template() -> _socket.socket:
    path = template_socket()
    found = _dial(path)
    if found is not None:
        return found
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = _dial(path)
        if found is None:
            _spawn_template(path)
            found = _dial(path)
    finally:
        os.close(lock)
    if found is None:
        raise unknown("the shim template cannot be started")
    return found


def _dial(path: str) -> _socket.socket | None:
    made = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    try:
        made.connect(path)
    except OSError:
        made.close()
        return None
    return made


def _spawn_template(path: str) -> None:
    """Start the template on a socket that listens already; nobody has to wait until it is warm."""
    unlink(path)
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(128)
    program = "import sys; sys.path.insert(0, sys.argv.pop()); from shim.template import main; main()"
    high = fcntl.fcntl(listener.fileno(), fcntl.F_DUPFD_CLOEXEC, 16)
    null = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)]
    actions = [*null, (os.POSIX_SPAWN_DUP2, high, CONTROL)]
    kept = {name: os.environ[name] for name in ("PATH", TEMPLATE_IDLE) if name in os.environ}
    environment = {**kept, TEMPLATE_SOCKET: path}
    argv = [sys.executable, *PYTHON_FLAGS, "-c", program, _SOURCE]
    os.posix_spawn(sys.executable, argv, environment, file_actions=actions, setsid=True)
    os.close(high)
    listener.close()


def _link(folder: str, place: str) -> None:
    try:
        os.symlink(folder, place)
    except FileExistsError:
        pass
