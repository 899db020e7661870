"""Making a container: name, files, snapshot and record, in an order that leaves nothing behind when a step fails."""

from __future__ import annotations

import os
import time

from pycontainerd.client import containers, files, host, names, snapshots, volumes
from pycontainerd.client import images as image_nouns
from pycontainerd.client.jsontext import dumps, loads
from pycontainerd.client.times import rfc3339
from pycontainerd.core import logdrivers, mountentries, publish, settings, spec, spec_resources
from pycontainerd.core.errors import InvalidArgument, NotFound, Unavailable
from pycontainerd.wire.messages import containers as messages
from pycontainerd.wire.messages.google import Any as AnyMessage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from pycontainerd.client.daemon import Daemon
    from pycontainerd.wire.messages.types import Mount

    Json = dict[str, Any]

RUNTIME = "io.containerd.runc.v2"
MAX_SIZE = "containerd.io/snapshot/max-size"
"""Label of a snapshot: how much it may hold."""
GC_REF = "containerd.io/gc.ref.snapshot."
"""Beginning of a label by which a record keeps a snapshot."""


class Created:
    """A new container and how to mount its snapshot."""

    __slots__ = ("container", "mounts")

    def __init__(self, container: containers.Container, mounts: Sequence[Mount]) -> None:
        self.container, self.mounts = container, mounts


def create(
    daemon: Daemon, image: image_nouns.Contents, name: str, config: Json, host_config: Json, joined: Sequence[Json] = ()
) -> Created:
    """Make a container of ``image``. ``config`` and ``host_config`` are Docker's, as the user gave them; ``joined`` are
    the networks it joins, as ``core.publish`` parses them.

    Raises InvalidArgument for settings that make no sense, Conflict when the name is taken, NotFound when the image is
    not unpacked for the snapshotter.
    """
    draft = _Draft(daemon, image, settings.merge_image(config, image.settings), host_config)
    undo: list[Callable[[], None]] = [lambda: files.remove(draft.path)]
    try:
        entries = volumes.wanted(daemon, draft.config, host_config)
        document = build_spec(daemon, draft.id, draft.config, host_config, draft.path)
        draft.name = names.reserve(daemon, draft.id, settings.check_name(name) if name else "")
        undo.append(lambda: names.release(daemon, draft.id, draft.name))
        snapshotter = os.environ.get("PYCTR_SNAPSHOTTER") or image_nouns.SNAPSHOTTER
        lease = _Lease(daemon)
        mounts = _snapshot(daemon, snapshotter, draft.id, image, lease=lease, labels=_bound(host_config))
        undo += [lambda: snapshots.remove(daemon, snapshotter, draft.id), lease.drop]
        record = draft.record(document, snapshotter)
        network = publish.extension(draft.config, host_config, joined)
        if network is not None:
            record.extensions = {
                **record.extensions,
                publish.EXTENSION: AnyMessage(type_url=publish.TYPE_URL, value=dumps(network).encode()),
            }
        if entries:
            _add_entries(daemon, record, entries, lease, undo)
        record = containers.create(daemon, record)
        lease.drop()
    except BaseException:
        _take_back(undo)
        raise
    return Created(containers.Container(record), mounts)


def _take_back(steps: Sequence[Callable[[], None]]) -> None:
    """Undo, last things first, what was done for a container that is not to be. Where the daemon has gone nobody knows
    whether there is a record by now: what is left stays for it to sweep."""
    for step in reversed(steps):
        try:
            step()
        except Unavailable:
            return


class _Lease:
    """Holds what the reservation of the name does not (that is the container's snapshot): made when first needed."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon, self._id = daemon, ""

    @property
    def id(self) -> str:
        """Of the lease."""
        if not self._id:
            from pycontainerd.client import leases

            self._id = f"create-{os.urandom(8).hex()}"
            leases.create(self._daemon, self._id, {})
        return self._id

    def drop(self) -> None:
        """Let go."""
        if self._id:
            from pycontainerd.client import leases

            leases.delete(self._daemon, self._id)
            self._id = ""


class _Draft:
    """A container in the making."""

    def __init__(self, daemon: Daemon, image: image_nouns.Contents, config: Json, host_config: Json) -> None:
        self.id = os.urandom(32).hex()
        self.name = ""
        self.image, self.config, self.host_config = image, config, host_config
        root = files.root_of(daemon)
        self.path = files.directory(root, daemon.namespace, self.id)
        driver = (host_config.get("LogConfig") or {}).get("Type") or logdrivers.DEFAULT
        self.log = files.log_path(root, daemon.namespace, self.id, driver)

    def record(self, document: Json, snapshotter: str) -> messages.Container:
        """What the daemon keeps."""
        self.config["Hostname"] = self.config.get("Hostname") or self.id[:12]
        kept = {
            "Name": self.name,
            "Created": rfc3339(time.time_ns()),
            "Image": self.image.digest,
            "Config": self.config,
            "HostConfig": self.host_config,
            "LogPath": self.log,
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


def _snapshot(
    daemon: Daemon,
    snapshotter: str,
    id: str,
    image: image_nouns.Contents,
    *,
    lease: _Lease,
    labels: Mapping[str, str],
) -> Sequence[Mount]:
    chain = image.chain
    parent = chain[-1] if chain else ""
    try:
        return snapshots.prepare(daemon, snapshotter, id, parent, labels=labels)
    except NotFound:
        if not parent:
            raise
    # The image came without being unpacked: by another client, or for another snapshotter.
    from pycontainerd.client import unpack

    unpack.unpack(daemon, snapshotter, image, lease=lease.id)
    return snapshots.prepare(daemon, snapshotter, id, parent, labels=labels)


def _bound(host_config: Json) -> dict[str, str]:
    """The snapshot's labels for ``--storage-opt size=``."""
    options = host_config.get("StorageOpt") or {}
    return {MAX_SIZE: options["size"]} if options.get("size") else {}


def _add_entries(
    daemon: Daemon, record: messages.Container, entries: list[Json], lease: _Lease, undo: list[Callable[[], None]]
) -> None:
    """Write the mount entries into the record. An image among them is viewed, and kept, by a snapshot of its own."""
    labels = dict(record.labels)
    for number, entry in enumerate(entries):
        if entry["type"] == mountentries.IMAGE:
            key = f"{record.id}-mount-{number}"
            _view(daemon, record.snapshotter, key, entry["source"], lease=lease)
            undo.append(lambda key=key: snapshots.remove(daemon, record.snapshotter, key))  # type: ignore[misc]
            entry["snapshotter"], entry["snapshot"] = record.snapshotter, key
            labels[f"{GC_REF}{record.snapshotter}/mount-{number}"] = key
    record.labels = labels
    record.extensions = {**record.extensions, mountentries.EXTENSION: volumes.extension(entries)}


def _view(daemon: Daemon, snapshotter: str, key: str, name: str, *, lease: _Lease) -> None:
    """A view of an image, unpacked first if it is not. Raises NotFound."""
    found = image_nouns.find(daemon, name)
    if found is None:
        raise NotFound(f"No such image: {name}", hint="pull it first")
    contents = image_nouns.contents(daemon, found)
    parent = contents.chain[-1] if contents.chain else ""
    try:
        snapshots.view(daemon, snapshotter, key, parent, lease=lease.id)
    except NotFound:
        from pycontainerd.client import unpack

        unpack.unpack(daemon, snapshotter, contents, lease=lease.id)
        snapshots.view(daemon, snapshotter, key, parent, lease=lease.id)


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


# -- the spec --


def build_spec(daemon: Daemon, id: str, config: Json, host_config: Json, path: str) -> Json:
    """The OCI spec, with what has to be looked up on the host and among other containers."""
    facts = host.look(init=bool(host_config.get("Init")))
    if host_config.get("NetworkMode") == "host":
        config["Hostname"] = config.get("Hostname") or facts.hostname
    parts = spec.Parts()
    parts.devices = host.devices(host_config)
    parts.block_numbers = host.block_numbers(spec_resources.block_paths(host_config))
    parts.seccomp = _seccomp_file(host_config)
    parts.joins, parts.shm_path = joins(daemon, host_config)
    joined = _joined_files(daemon, config, host_config)
    parts.files = {**files.write(path, config, host_config, id), **joined}
    return spec.build(id, daemon.namespace, config, host_config, facts, parts)


def _joined_files(daemon: Daemon, config: Json, host_config: Json) -> dict[str, str]:
    """In network mode ``container:`` the managed files of the container that is joined, and its name of the host;
    empty in any other mode, and for a container that has none."""
    mode = host_config.get("NetworkMode") or ""
    if not mode.startswith("container:"):
        return {}
    other = containers.find(daemon, mode.removeprefix("container:"))
    config["Hostname"] = other.config.get("Hostname") or other.id[:12]
    config["Domainname"] = other.config.get("Domainname") or ""
    found = files.existing(files.directory(files.root_of(daemon), daemon.namespace, other.id))
    mode = other.host_config.get("NetworkMode") or ""
    return found or (_joined_files(daemon, config, other.host_config) if mode.startswith("container:") else {})


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
    """Namespace paths for the ``container:`` modes, and the /dev/shm to share. Raises InvalidArgument, NotFound.

    The modes in ``host_config`` name the others by id from then on, for a name may go to another container.
    """
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
        host_config[key] = f"container:{other.id}"
        result[kind] = f"/proc/{process.pid}/ns/{_NS_FILES.get(kind, kind)}"
        if kind == "ipc":
            shm = f"/proc/{process.pid}/root/dev/shm"
    return result, shm
