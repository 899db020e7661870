"""Making a container: name, files, snapshot and record, in an order that leaves nothing behind when a step fails."""

from __future__ import annotations

import os
import time

from pycontainerd.client import containers, files, host, leases, snapshots
from pycontainerd.client import images as image_nouns
from pycontainerd.client.jsontext import dumps, loads
from pycontainerd.client.names import random_name
from pycontainerd.client.times import rfc3339
from pycontainerd.core import settings, spec, spec_mounts
from pycontainerd.core.errors import AlreadyExists, Conflict, InvalidArgument, NotFound
from pycontainerd.wire.messages import containers as messages
from pycontainerd.wire.messages.google import Any as AnyMessage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from pycontainerd.client.daemon import Daemon
    from pycontainerd.wire.messages.types import Mount

    Json = dict[str, Any]

RUNTIME = "io.containerd.runc.v2"
STALE = 60.0
"""Seconds after which a name without a container counts as left behind by a client that was killed in between."""


class Created:
    """A new container and how to mount its snapshot."""

    __slots__ = ("container", "mounts")

    def __init__(self, container: containers.Container, mounts: Sequence[Mount]) -> None:
        self.container, self.mounts = container, mounts


def create(daemon: Daemon, image: image_nouns.Contents, name: str, config: Json, host_config: Json) -> Created:
    """Make a container of ``image``. ``config`` and ``host_config`` are Docker's, as the user gave them.

    Raises InvalidArgument for settings that make no sense, Conflict when the name is taken, NotFound when the image is
    not unpacked for the snapshotter.
    """
    draft = _Draft(daemon, image, settings.merge_image(config, image.settings), host_config)
    undo: list[Callable[[], None]] = [lambda: files.remove(draft.path)]
    try:
        document = build_spec(daemon, draft.id, draft.config, host_config, draft.path)
        draft.name = reserve(daemon, name, draft.id)
        undo.append(lambda: leases.release(daemon, draft.name))
        snapshotter = os.environ.get("PYCTR_SNAPSHOTTER") or image_nouns.SNAPSHOTTER
        mounts = _snapshot(daemon, snapshotter, draft.id, image, settings.lease_of(draft.name))
        undo.append(lambda: snapshots.remove(daemon, snapshotter, draft.id))
        record = draft.record(document, snapshotter)
        containers.create(daemon, record)
    except BaseException:
        for step in reversed(undo):
            step()
        raise
    return Created(containers.Container(record), mounts)


class _Draft:
    """A container in the making."""

    def __init__(self, daemon: Daemon, image: image_nouns.Contents, config: Json, host_config: Json) -> None:
        self.id = os.urandom(32).hex()
        self.name = ""
        self.image, self.config, self.host_config = image, config, host_config
        root = files.root_of(daemon)
        self.path = files.directory(root, daemon.namespace, self.id)
        self.log = files.log_path(root, daemon.namespace, self.id)

    def record(self, document: Json, snapshotter: str) -> messages.Container:
        """What the daemon keeps."""
        self.config["Hostname"] = self.config.get("Hostname") or self.id[:12]
        driver = (self.host_config.get("LogConfig") or {}).get("Type") or "json-file"
        kept = {
            "Name": self.name,
            "Created": rfc3339(time.time_ns()),
            "Image": self.image.digest,
            "Config": self.config,
            "HostConfig": self.host_config,
            "LogPath": self.log if driver == "json-file" else "",
        }
        return messages.Container(
            id=self.id,
            labels=containers.labels(self.name, self.config),
            image=self.image.name,
            runtime=_runtime(self.host_config.get("Runtime") or ""),
            spec=packed_spec(document),
            snapshotter=snapshotter,
            snapshot_key=self.id,
            extensions={settings.EXTENSION: containers.extension(kept)},
        )


def _snapshot(daemon: Daemon, snapshotter: str, id: str, image: image_nouns.Contents, lease: str) -> Sequence[Mount]:
    chain = image.chain
    parent = chain[-1] if chain else ""
    try:
        return snapshots.prepare(daemon, snapshotter, id, parent, lease=lease)
    except NotFound:
        if not parent:
            raise
    # The image came without being unpacked: by another client, or for another snapshotter.
    from pycontainerd.client import unpack

    unpack.unpack(daemon, snapshotter, image, lease=lease)
    return snapshots.prepare(daemon, snapshotter, id, parent, lease=lease)


def packed_spec(document: Json) -> AnyMessage:
    """A spec as it travels in the record."""
    return AnyMessage(type_url=spec.TYPE_URL, value=dumps(document).encode())


def _runtime(text: str) -> messages.Container.Runtime:
    """``--runtime``: a shim's name has dots in it, else it is the OCI runtime's program for the built-in shim."""
    if not text:
        return messages.Container.Runtime(name=RUNTIME)
    if "." in text and not text.startswith("/"):
        return messages.Container.Runtime(name=text)
    from pycontainerd.wire.messages.types_runc import Options

    options = Options(binary_name=text)
    return messages.Container.Runtime(name=RUNTIME, options=AnyMessage(type_url=Options.TYPE, value=options.encode()))


def reserve(daemon: Daemon, name: str, id: str) -> str:
    """Take ``name``, or a free one when it is empty; return it. Raises Conflict, naming who has it."""
    attempt = 0
    while not name:
        candidate = random_name(attempt)
        try:
            leases.reserve(daemon, candidate, id)
        except AlreadyExists:
            attempt += 1
            continue
        return candidate
    name = settings.check_name(name)
    try:
        leases.reserve(daemon, name, id)
    except AlreadyExists:
        owner = _owner(daemon, name)
        if owner:
            raise Conflict(
                f'The container name "/{name}" is already in use by container "{owner}"',
                hint="remove or rename that container, or choose another name",
            ) from None
        leases.release(daemon, name)
        leases.reserve(daemon, name, id)
    return name


def _owner(daemon: Daemon, name: str) -> str:
    """The id of the container that holds a name; empty when the reservation was left behind."""
    try:
        return containers.find(daemon, name).id
    except NotFound:
        pass
    lease = leases.find(daemon, settings.lease_of(name))
    if lease is None or lease.created_at is None or time.time() - lease.created_at.seconds > STALE:
        return ""
    return lease.labels.get(leases.OWNER) or "another"


# -- the spec --


def build_spec(daemon: Daemon, id: str, config: Json, host_config: Json, path: str) -> Json:
    """The OCI spec, with what has to be looked up on the host and among other containers."""
    facts = host.look(init=bool(host_config.get("Init")))
    if host_config.get("NetworkMode") == "host":
        config["Hostname"] = config.get("Hostname") or facts.hostname
    parts = spec.Parts()
    parts.devices = host.devices(host_config)
    parts.seccomp = _seccomp_file(host_config)
    parts.joins, parts.shm_path = joins(daemon, host_config)
    _take_volumes_from(daemon, host_config)
    _make_bind_sources(host_config)
    parts.files = files.write(path, config, host_config, id)
    return spec.build(id, daemon.namespace, config, host_config, facts, parts)


def _seccomp_file(host_config: Json) -> Json | None:
    source = spec.Security(host_config.get("SecurityOpt") or ()).seccomp
    if source in ("", "builtin", "unconfined"):
        return None
    if source.startswith("{"):  # the client has read the file already; the document is what is kept
        return loads(source)  # type: ignore[no-any-return]
    raise InvalidArgument("--security-opt seccomp", source, "the profile was not read")


_JOINS = (("PidMode", "pid"), ("IpcMode", "ipc"), ("NetworkMode", "network"), ("UTSMode", "uts"))
_NS_FILES = {"network": "net"}


def joins(daemon: Daemon, host_config: Json) -> tuple[dict[str, str], str]:
    """Namespace paths for the ``container:`` modes, and the /dev/shm to share. Raises InvalidArgument, NotFound."""
    result: dict[str, str] = {}
    shm = "/dev/shm" if host_config.get("IpcMode") == "host" else ""
    for key, kind in _JOINS:
        mode = host_config.get(key) or ""
        if not mode.startswith("container:"):
            continue
        other = containers.find(daemon, mode.removeprefix("container:"))
        from pycontainerd.client import tasks

        process = tasks.get(daemon, other.id)
        if process is None or process.status not in (tasks.RUNNING, tasks.CREATED, tasks.PAUSED):
            raise InvalidArgument(f"cannot join the {kind} namespace of {other.name}: it is not running")
        result[kind] = f"/proc/{process.pid}/ns/{_NS_FILES.get(kind, kind)}"
        if kind == "ipc":
            shm = f"/proc/{process.pid}/root/dev/shm"
    return result, shm


def _take_volumes_from(daemon: Daemon, host_config: Json) -> None:
    """``--volumes-from NAME[:ro]``: the other's binds and mounts become our own, once and for all."""
    for text in host_config.get("VolumesFrom") or ():
        name, _, mode = text.partition(":")
        if mode not in ("", "ro", "rw", "z", "Z"):
            raise InvalidArgument("--volumes-from", text, "give NAME, NAME:ro or NAME:rw")
        other = containers.find(daemon, name).host_config
        for bind in other.get("Binds") or ():
            parsed = spec_mounts.parse_bind(bind)
            taken = f"{parsed.source}:{parsed.target}:ro" if mode == "ro" else bind
            if taken not in (host_config.get("Binds") or ()):
                host_config["Binds"] = [*(host_config.get("Binds") or ()), taken]
        for mount in other.get("Mounts") or ():
            taken = {**mount, "ReadOnly": True} if mode == "ro" else mount
            if taken not in (host_config.get("Mounts") or ()):
                host_config["Mounts"] = [*(host_config.get("Mounts") or ()), taken]


def _make_bind_sources(host_config: Json) -> None:
    """``-v`` makes a missing directory on the host, ``--mount`` refuses, as Docker has it."""
    for text in host_config.get("Binds") or ():
        bind = spec_mounts.parse_bind(text)
        if not bind.source.startswith("/"):
            raise InvalidArgument("-v", text, "named volumes are not offered yet; give an absolute path")
        os.makedirs(bind.source, exist_ok=True) if not os.path.lexists(bind.source) else None
    for mount in host_config.get("Mounts") or ():
        if mount["Type"] == "bind" and not os.path.lexists(mount["Source"]):
            raise InvalidArgument("--mount: bind source path does not exist", mount["Source"], "make it, or use -v")
