"""The `-info` action: what this shim, and the runtime below it, are and can do."""

from __future__ import annotations

import os

from pycontainerd.linux.fds import pipe
from pycontainerd.wire.codec import DecodeError
from pycontainerd.wire.codes import RpcError
from pycontainerd.wire.messages.google import Any
from pycontainerd.wire.messages.types import RuntimeInfo, RuntimeVersion
from pycontainerd.wire.messages.types_runc import Options
from shim.jsontext import loads
from shim.runtime import PATH, default_binary, find

FEATURES = "types.containerd.io/opencontainers/runtime-spec/1/features/Features"
_LIMIT = 1 << 20


def info(name: str, version: str, options: bytes) -> bytes:
    """A serialized RuntimeInfo; `options` is the serialized Any the daemon sent, or empty. Raises ValueError."""
    packed = None
    chosen = Options()
    if options:
        try:
            packed = Any.decode(options)
            if packed.type_url.rpartition("/")[2] == Options.TYPE:
                chosen = Options.decode(packed.value)
        except DecodeError as error:
            raise ValueError(f"the options on standard input: {error}") from None
    answer = RuntimeInfo(name=name, version=RuntimeVersion(version=version), options=packed)
    features = _features(chosen)
    if features:
        answer.features = Any(type_url=FEATURES, value=features)
    return answer.encode()


def _features(options: Options) -> bytes:
    """What the runtime's own `features` prints, empty when it has no such verb."""
    try:
        binary = find(options.binary_name) if options.binary_name else default_binary()
    except RpcError:
        return b""
    read, write = pipe()
    null = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 2)]
    actions = [*null, (os.POSIX_SPAWN_DUP2, write, 1)]
    child = os.posix_spawn(binary, [binary, "features"], {"PATH": PATH}, file_actions=actions)
    os.close(write)
    data = b""
    while len(data) < _LIMIT and (chunk := os.read(read, 65536)):
        data += chunk
    os.close(read)
    if os.waitpid(child, 0)[1]:
        return b""
    try:
        return data if isinstance(loads(data), dict) else b""
    except ValueError:
        return b""
