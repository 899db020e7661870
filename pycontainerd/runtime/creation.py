"""What happens on this side before a task exists: decisions, the bundle, mounts. Synchronous; call it from a thread.

One call into a thread does it all, since a hop costs more than most of the steps.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import structlog
from google.protobuf.message import DecodeError

from pycontainerd.api.types.runc import options_pb2
from pycontainerd.core.bundle import Bootstrap, Bundle, bundle_of, parse_task_address
from pycontainerd.core.errors import AlreadyExists, InvalidArgument, PycontainerdError, Unimplemented, Unknown
from pycontainerd.core.runtimes import (
    RUNC_OPTIONS,
    RUNC_V2,
    RuntimeConfig,
    ShimChoice,
    choose_binary,
    choose_shim,
    is_crun,
)
from pycontainerd.core.values import AnyValue
from pycontainerd.runtime import bundle as bundles
from pycontainerd.runtime.deaths import lay_out
from pycontainerd.runtime.programs import Programs
from pycontainerd.runtime.spec import bundle_config, read_spec
from pycontainerd.wire import failpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pycontainerd.core.containers import Container, ContainerStore
    from pycontainerd.core.mounts import MountManager
    from pycontainerd.core.network import SandboxEngine
    from pycontainerd.core.tasks import CreateTask
    from pycontainerd.core.values import Mount
    from pycontainerd.core.volumes import ContainerMounts
    from pycontainerd.linux.sealed import Sealed
    from pycontainerd.runtime.checkpoints import Checkpoints
    from pycontainerd.runtime.foreign import ForeignShims
    from pycontainerd.runtime.probe import RuntimeProbe
    from pycontainerd.runtime.seccomp import SeccompCache
    from pycontainerd.runtime.shims import Shims
    from pycontainerd.runtime.spec import SpecView

BACK_REFERENCE = "containerd.io/gc.bref.container"
"""Label of an activation that lives as long as its container."""
_log = structlog.get_logger("runtime")


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """Where tasks keep their files, how shims reach the daemon, and what the configuration says of runtimes by name.

    ``default_binary``: the OCI runtime for containers that name none; empty finds out what works here.
    """

    state: str
    root: str
    grpc_address: str
    ttrpc_address: str
    runtimes: Mapping[str, RuntimeConfig] = field(default_factory=dict)
    default_runtime: str = RUNC_V2
    default_binary: str = ""
    daemon_binary: str = ""
    log_level: str = "info"
    version: str = ""

    @property
    def runtime_root(self) -> str:
        """Where OCI runtimes keep their state; the shim appends the namespace."""
        return f"{self.state}/runc"

    @property
    def socket_dir(self) -> str:
        """Where built-in shims listen."""
        return f"{self.state}/s"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A bundle that waits for its shim. ``bootstrap`` is set when the address is known beforehand.

    ``joins``: the shim runs already. ``sandboxed``: it is a sandbox's, and not ours to end. ``program``: the OCI
    runtime as a new shim is to run it.
    """

    bundle: Bundle
    choice: ShimChoice
    rootfs: Sequence[Mount]
    options: AnyValue | None = None
    bootstrap: Bootstrap | None = None
    joins: bool = False
    sandboxed: bool = False
    mounts: str = ""
    checkpoint: str = ""
    program: Sealed | None = None


class Preparer:
    """Makes bundles for tasks to come, and takes them away again."""

    def __init__(
        self,
        settings: TaskSettings,
        containers: ContainerStore,
        foreign: ForeignShims,
        shims: Shims,
        *,
        builtin_binary: str,
        probe: RuntimeProbe,
        seccomp: SeccompCache,
        checkpoints: Checkpoints,
        mounts: MountManager | None = None,
        volumes: ContainerMounts | None = None,
        network: SandboxEngine | None = None,
        sandbox: Callable[[str, str], Bootstrap | None] | None = None,
    ) -> None:
        """``sandbox(namespace, id)`` answers how to reach the shim of a sandbox the store knows, or None; ``volumes``
        knows what containers have mounted beside what their specs say, ``network`` makes their networks.
        """
        self._settings, self._containers, self._foreign, self._shims = settings, containers, foreign, shims
        self._builtin_binary, self._probe, self._seccomp = builtin_binary, probe, seccomp
        self._checkpoints, self._mounts, self._sandbox = checkpoints, mounts, sandbox
        self._volumes, self._network = volumes, network
        self._programs = Programs()

    def prepare(self, namespace: str, request: CreateTask) -> Prepared:
        """Make the bundle of a task. Raises NotFound, InvalidArgument, Unknown, ResourceExhausted; leaves nothing."""
        container = self._containers.get(namespace, request.container_id)
        if container.spec is None:
            raise InvalidArgument("container", container.id, "has no spec; update it before you create a task")
        options = _options(container, request)
        view = read_spec(container.spec.value)
        runtime = container.runtime or self._settings.default_runtime
        choice = choose_shim(runtime, request.runtime_path, self._settings.runtimes)
        if not choice.builtin:
            self._foreign.resolve(choice.binary)
        bundle = bundle_of(self._settings.state, self._settings.root, namespace, container.id)
        bootstrap = self._shared_shim(namespace, container, request)
        joins = bootstrap is not None
        bpf, program = "", None
        if choice.builtin:
            config = self._settings.runtimes.get(runtime, RuntimeConfig())
            options, binary = self._builtin_options(options, config, view)
            bpf = self._filter(view) if is_crun(binary) else ""
            program = self._programs.get(binary)
            if bootstrap is None:
                bootstrap = self._shims.address_for(bundle, view.annotations)
        sandboxed = bool(container.sandbox)
        prepared = Prepared(bundle, choice, request.rootfs, options, bootstrap, joins, sandboxed, program=program)
        files = {} if bootstrap is None else bundles.bootstrap_files(bootstrap, self._builtin_binary)
        try:
            self._make(bundle, self._config(namespace, container, view, bpf), view.root_group, files)
            return self._complete(prepared, container, request)
        except BaseException:
            self.discard(prepared)
            raise

    def _shared_shim(self, namespace: str, container: Container, request: CreateTask) -> Bootstrap | None:
        if request.task_api_address:
            return parse_task_address(request.task_api_address, request.task_api_version)
        if container.sandbox and self._sandbox is not None:
            bootstrap = self._sandbox(namespace, container.sandbox)
            return bootstrap if bootstrap is not None and bootstrap.version >= 3 else None
        return None

    def _builtin_options(self, given: AnyValue | None, config: RuntimeConfig, view: SpecView) -> tuple[AnyValue, str]:
        """The options for the built-in shim, which are always complete, and the OCI runtime in them."""
        options = options_pb2.Options()
        if given is not None and given.name == RUNC_OPTIONS:
            try:
                options.ParseFromString(given.value)
            except DecodeError as error:
                raise Unknown("task options cannot be decoded") from error
        default = self._settings.default_binary
        binary = choose_binary(options.binary_name, config, view.oci_version, self._probe.works, default)
        options.binary_name = binary
        options.root = options.root or config.root or self._settings.runtime_root
        options.systemd_cgroup = options.systemd_cgroup or config.systemd_cgroup
        return AnyValue(RUNC_OPTIONS, options.SerializeToString()), binary

    def _config(self, namespace: str, container: Container, view: SpecView, bpf: str) -> bytes:
        """The spec with what the daemon puts in, which is ready when this returns."""
        mounts = [] if self._volumes is None else self._volumes.attach(namespace, container)
        attached = None if self._network is None else self._network.prepare(namespace, container)
        return bundle_config(view, bpf, mounts, netns=None if attached is None else attached.netns)

    def _filter(self, view: SpecView) -> str:
        return self._seccomp.get(view.seccomp) if view.seccomp is not None else ""

    def _make(self, bundle: Bundle, config: bytes, group: int | None, files: Mapping[str, bytes]) -> None:
        try:
            bundles.create(bundle, config, group=group, files=files)
        except AlreadyExists:
            # No task has this id (it is reserved), so this is what an earlier cleanup could not remove.
            _log.warning("stale bundle removed", namespace=bundle.namespace, container=bundle.id)
            binary = bundles.read_file(bundle.shim_binary).decode() or self._builtin_binary
            lay_out(self._foreign, bundle, binary)
            bundles.remove(bundle)
            bundles.create(bundle, config, group=group, files=files)

    def _complete(self, prepared: Prepared, container: Container, request: CreateTask) -> Prepared:
        bundle, checkpoint = prepared.bundle, ""
        if prepared.joins and prepared.sandboxed:
            bundles.write_file(bundle.sandbox, container.sandbox.encode())
        failpoint.hit("task.create.bundle")
        if request.checkpoint is not None and request.checkpoint.digest:
            checkpoint = self._checkpoints.unpack(bundle, request.checkpoint)
        rootfs, mounts = self._activate(bundle, request.rootfs)
        failpoint.hit("task.create.mounts")
        return replace(prepared, rootfs=rootfs, mounts=mounts, checkpoint=checkpoint)

    def _activate(self, bundle: Bundle, rootfs: Sequence[Mount]) -> tuple[Sequence[Mount], str]:
        """The mounts left for the shim, and the name of the activation ("" for none)."""
        if self._mounts is None or not rootfs:
            return rootfs, ""
        labels = {BACK_REFERENCE: bundle.id}  # or the next collection would take the mounts away
        try:
            return self._mounts.activate(bundle.namespace, bundle.id, rootfs, labels).system, bundle.id
        except AlreadyExists:
            return self._mounts.info(bundle.namespace, bundle.id).system, bundle.id
        except Unimplemented:
            return rootfs, ""

    def discard(self, prepared: Prepared) -> None:
        """Undo ``prepare``; never raises."""
        self.remove(prepared.bundle, prepared.mounts)

    def remove(self, bundle: Bundle, mounts: str) -> None:
        """Remove a bundle whose shim is gone and deactivate its mounts; never raises."""
        if doomed := self.retire(bundle, mounts):
            self.discard_retired(doomed)

    def discard_retired(self, doomed: str) -> None:
        """Remove what ``retire`` has left; never raises."""
        try:
            bundles.discard(doomed)
        except OSError as error:
            _log.warning("bundle not removed", path=doomed, error=str(error))

    def retire(self, bundle: Bundle, mounts: str) -> str:
        """As ``remove``, but for the files: return the directory that holds them by now ("" for none); never raises."""
        doomed = ""
        try:
            doomed = bundles.retire(bundle)
        except OSError as error:
            _log.warning("bundle not removed", namespace=bundle.namespace, container=bundle.id, error=str(error))
        if mounts and self._mounts is not None:
            with contextlib.suppress(PycontainerdError):
                self._mounts.deactivate(bundle.namespace, mounts)
        if self._volumes is not None:
            self._volumes.detach(bundle.namespace, bundle.id)
        if self._network is not None:
            self._network.released(bundle.namespace, bundle.id)
        return doomed


def _options(container: Container, request: CreateTask) -> AnyValue | None:
    """The task's options, else the container's. Only the latter may be of a type made for another kind of shim."""
    asked = request.options
    if asked is not None and (asked.type_url or asked.value):
        if asked.name != RUNC_OPTIONS:
            raise Unknown("task options of type", asked.type_url, f"only {RUNC_OPTIONS} is understood here")
        return asked
    return container.runtime_options
