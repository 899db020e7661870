"""The runc options that come with a create, and the runtime they lead to."""

from __future__ import annotations

from pycontainerd.linux import cgroup
from pycontainerd.wire.codec import DecodeError
from pycontainerd.wire.messages.types_runc import CheckpointOptions, Options
from shim.errors import from_oserror, invalid, unknown
from shim.runtime import DEFAULT_ROOT, Runtime, default_binary, find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.wire.messages.google import Any
    from shim.context import Shim

_CRI_OPTIONS = "runtimeoptions.v1.Options"


def options_of(packed: Any | None) -> Options:
    """The create options, default ones when there are none. Raises RpcError for a type that is not understood."""
    if packed is None or not packed.type_url:
        return Options()
    name = packed.type_url.rpartition("/")[2]
    if name == _CRI_OPTIONS:
        return Options()  # a path to a configuration file, which this shim has not
    if name != Options.TYPE:
        raise unknown(f"create options of type {packed.type_url} are not understood; {Options.TYPE} is")
    try:
        return Options.decode(packed.value)
    except DecodeError as error:
        raise invalid(f"create options: {error}") from None


def checkpoint_options_of(packed: Any | None) -> CheckpointOptions:
    """The checkpoint options, default ones when there are none. Raises RpcError."""
    if packed is None or packed.type_url.rpartition("/")[2] != CheckpointOptions.TYPE:
        return CheckpointOptions()
    try:
        return CheckpointOptions.decode(packed.value)
    except DecodeError as error:
        raise invalid(f"checkpoint options: {error}") from None


def runtime_of(shim: Shim, options: Options) -> Runtime:
    """The OCI runtime that these options mean. Raises RpcError when it is not installed."""
    binary = options.binary_name or shim.defaults.runtime
    if not binary:
        binary = shim.defaults.runtime = default_binary()
    root = options.root or shim.defaults.runtime_root or DEFAULT_ROOT
    copy = shim.defaults.program
    return Runtime(shim.children, find(binary), f"{root}/{shim.namespace}", options.systemd_cgroup, copy)


def create_arguments(options: Options) -> list[str]:
    """The flags of the runtime's create and restore."""
    flags = []
    if options.no_pivot_root:
        flags.append("--no-pivot")
    if options.no_new_keyring:
        flags.append("--no-new-keyring")
    return flags


def join_shim_cgroup(shim: Shim, options: Options) -> None:
    """Move the shim into the group that the options name, in every hierarchy. Raises RpcError."""
    if not options.shim_cgroup:
        return
    try:
        cgroup.join_all(options.shim_cgroup, shim.hierarchies)
    except OSError as error:
        raise from_oserror("shim cgroup", error) from None


def remembered(options: Options, runtime: Runtime) -> dict[str, object]:
    """The options as they are kept in the bundle, the runtime's root being the one in use."""
    names = [field[1] for field in Options.FIELDS]
    kept: dict[str, object] = {name: getattr(options, name) for name in names if getattr(options, name)}
    kept["root"] = runtime.root.rpartition("/")[0]
    return kept
