"""Other people's shims, driven by the standard protocol: a binary with the actions ``start`` and ``delete``.

Synchronous; call it from a thread. The same actions of our own shim go through here when a dead one is cleaned up after
(DESIGN §3), so there is one way to do that.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from google.protobuf import any_pb2
from google.protobuf.message import DecodeError

from pycontainerd.api.runtime.bootstrap.v1 import bootstrap_pb2
from pycontainerd.api.runtime.task.v3 import task_pb2
from pycontainerd.core.errors import InvalidArgument, Unknown
from pycontainerd.core.runtimes import is_legacy_stdin
from pycontainerd.linux import process
from pycontainerd.runtime.bundle import parse_bootstrap
from pycontainerd.runtime.template import INTERPRETER, SOURCE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycontainerd.core.bundle import Bootstrap, Bundle
    from pycontainerd.core.values import AnyValue

START_LIMIT = 30.0
"""Seconds a shim's ``start`` may take."""
DELETE_LIMIT = 5.0
"""Seconds a shim's ``delete`` may take (as peers have it)."""
_BARE_OPTIONS = ("shim-runc-v1", "shim-runhcs-v1")
_NO_INFO = b"not defined: -info"
_LEVELS = {"trace": -8, "debug": -4, "info": 0, "warn": 4, "warning": 4, "error": 8, "fatal": 10, "panic": 12}
_BUILTIN_PROGRAM = "import sys; sys.path.insert(0, sys.argv.pop(1)); from shim.start import main; sys.exit(main())"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a shim finds the daemon, and what it is told of it."""

    grpc: str
    ttrpc: str
    daemon_binary: str = ""
    log_level: str = "info"
    socket_dir: str = ""
    version: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def debug(self) -> bool:
        return self.log_level in {"debug", "trace"}


class ForeignShims:
    """Finds shim binaries and runs their actions; remembers where they are and what they read on stdin."""

    def __init__(self, addresses: Addresses, builtin_binary: str) -> None:
        """``builtin_binary`` is the path by which bundles name our own shim; it need not be installed there."""
        self._addresses = addresses
        self._builtin = builtin_binary
        self._paths: dict[str, str] = {}
        self._legacy: dict[str, bool | None] = {}

    def resolve(self, binary: str) -> str:
        """The absolute path of a shim binary. Raises Unknown: the contract leaves this error unmapped."""
        if binary == self._builtin:
            return binary
        found = self._paths.get(binary)
        if found is None or not os.access(found, os.X_OK):
            found = _find(binary)
            if found is None:
                hint = "install it, or map the runtime's name in the configuration"
                raise Unknown("no shim binary", binary, hint)
            self._paths[binary] = found
        return found

    def start(self, bundle: Bundle, binary: str, options: AnyValue | None) -> Bootstrap:
        """Run the ``start`` action in the bundle; return what the shim answered. Raises Unknown with its complaint."""
        path = self.resolve(binary)
        argv = [*self._argv(path), *self._flags(bundle), "start"]
        try:
            result = process.run(
                argv,
                input=self._stdin(path, bundle, options),
                cwd=bundle.path,
                env=self._environment(bundle.namespace),
                timeout=START_LIMIT,
                merge=True,
            )
        except OSError as error:
            raise Unknown(f"cannot start shim {path}: {error}") from error
        if result.code:
            raise Unknown(f"cannot start shim {path}: {result.text}")
        try:
            return parse_bootstrap(result.stdout)
        except InvalidArgument as error:
            raise Unknown(f"shim {path} answered its start badly: {error}") from error

    def delete(self, bundle: Bundle, binary: str) -> task_pb2.DeleteResponse:
        """Run the ``delete`` action, which cleans up after a dead shim. Raises Unknown with its complaint."""
        path = self.resolve(binary)
        argv = [*self._argv(path), *self._flags(bundle), "-bundle", bundle.path, "delete"]
        environment = self._environment(bundle.namespace)
        try:
            result = process.run(argv, cwd=bundle.path, env=environment, timeout=DELETE_LIMIT)
        except OSError as error:
            raise Unknown(f"shim {path} cannot clean up {bundle.id}: {error}") from error
        if result.code:
            raise Unknown(f"shim {path} cannot clean up {bundle.id}: {result.text}")
        answer = task_pb2.DeleteResponse()
        try:
            answer.ParseFromString(result.stdout)
        except DecodeError as error:
            raise Unknown(f"shim {path} answered its delete with something undecodable") from error
        return answer

    def info(self, binary: str, options: AnyValue | None) -> bytes:
        """Run ``-info``: the serialized ``containerd.types.RuntimeInfo``. Raises Unknown."""
        path = self.resolve(binary)
        try:
            data = b"" if options is None else _any(options).SerializeToString()
            result = process.run([*self._argv(path), "-info"], input=data, timeout=DELETE_LIMIT)
        except OSError as error:
            raise Unknown(f"cannot run shim {path}: {error}") from error
        if result.code:
            why = "it has no flag -info, as those before containerd 2.0" if _NO_INFO in result.stderr else result.text
            raise Unknown(f"shim {path} gives no information: {why}")
        return result.stdout

    def _argv(self, path: str) -> list[str]:
        return [*INTERPRETER, "-c", _BUILTIN_PROGRAM, SOURCE] if path == self._builtin else [path]

    def _flags(self, bundle: Bundle) -> list[str]:
        address = self._addresses
        flags = ["-namespace", bundle.namespace, "-address", address.grpc]
        flags += ["-publish-binary", address.daemon_binary, "-id", bundle.id]
        return [*flags, "-debug"] if address.debug else flags

    def _environment(self, namespace: str) -> dict[str, str]:
        ours = {
            "GOMAXPROCS": "2",
            "MAX_SHIM_VERSION": "2",  # peers say 2 although they support 3
            "TTRPC_ADDRESS": self._addresses.ttrpc,
            "GRPC_ADDRESS": self._addresses.grpc,
            "NAMESPACE": namespace,
        }
        return {**os.environ, **ours, **self._addresses.environment}

    def _stdin(self, path: str, bundle: Bundle, options: AnyValue | None) -> bytes:
        """BootstrapParams, or the bare options for shims of the lines before containerd 2.3.

        Each misreads the other's form, and both take an empty stdin well. A shim that does not say what line it is of
        gets nothing when there is nothing to say.
        """
        legacy = self._is_legacy(path)
        if legacy or (legacy is None and options is None):
            return b"" if options is None else _any(options).SerializeToString()
        address = self._addresses
        params = bootstrap_pb2.BootstrapParams(
            instance_id=bundle.id,
            namespace=bundle.namespace,
            containerd_version=address.version,
            containerd_ttrpc_address=address.ttrpc,
            containerd_grpc_address=address.grpc,
            containerd_binary=address.daemon_binary,
            socket_dir=address.socket_dir,
        )
        params.log_level = _LEVELS.get(address.log_level, 0)  # type: ignore[assignment]
        if options is not None:
            params.extensions.add().value.CopyFrom(_any(options))
        return params.SerializeToString()

    def _is_legacy(self, path: str) -> bool | None:
        if any(name in os.path.basename(path) for name in _BARE_OPTIONS):
            return True
        if path not in self._legacy:
            try:
                text = process.run([path, "-v"], timeout=DELETE_LIMIT, merge=True).stdout.decode("utf-8", "replace")
            except OSError:
                text = ""
            self._legacy[path] = is_legacy_stdin(text)
        return self._legacy[path]


def _find(binary: str) -> str | None:
    if os.path.isabs(binary):
        return binary if os.access(binary, os.X_OK) and os.path.isfile(binary) else None
    here = os.path.join(os.getcwd(), binary)
    if os.path.isfile(here) and os.access(here, os.X_OK):
        return here
    return shutil.which(binary) or shutil.which(binary, path=os.path.dirname(os.path.abspath(sys.argv[0])))


def _any(value: AnyValue) -> any_pb2.Any:
    return any_pb2.Any(type_url=value.type_url, value=value.value)
