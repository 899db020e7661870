"""Volumes seen from outside, and the mount entries of containers."""

from __future__ import annotations

from pycontainerd.client import jsontext
from pycontainerd.core import mountentries, mountspec
from pycontainerd.core.errors import NotFound
from pycontainerd.wire.messages import volumes as messages
from pycontainerd.wire.messages.google import Any as AnyMessage
from pycontainerd.wire.messages.google import Empty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Protocol

    from pycontainerd.client.containers import Container
    from pycontainerd.client.daemon import Daemon

    Json = dict[str, Any]

    class Readable(Protocol):
        """What an archive is read from."""

        def read(self, size: int, /) -> bytes: ...

    class Writable(Protocol):
        """What an archive is written to."""

        def write(self, data: bytes, /) -> object: ...


SERVICE = "pycontainerd.volumes.v1.Volumes"
_PIECE = 256 << 10


def create(
    daemon: Daemon,
    name: str = "",
    *,
    driver: str = "",
    options: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> messages.Volume:
    """Make a volume, or get the one that is there and alike; an empty name gets an anonymous one. Raises Conflict."""
    request = messages.CreateRequest(name=name, driver=driver, options=options or {}, labels=labels or {})
    return _one(daemon.call(SERVICE, "Create", request, messages.CreateResponse).volume)


def get(daemon: Daemon, name: str, *, usage: bool = False) -> messages.Volume:
    """One volume with its users. Raises NotFound in Docker's words."""
    request = messages.GetRequest(name=name, usage=usage)
    try:
        return _one(daemon.call(SERVICE, "Get", request, messages.GetResponse).volume)
    except NotFound as error:
        raise _missing(name) from error


def list_all(daemon: Daemon, filters: Sequence[str] = (), *, usage: bool = False) -> list[messages.Volume]:
    """The volumes that match, by name."""
    request = messages.ListRequest(filters=filters, usage=usage)
    return list(daemon.call(SERVICE, "List", request, messages.ListResponse).volumes)


def remove(daemon: Daemon, name: str, *, force: bool = False) -> None:
    """Remove it and its data. Raises NotFound (not with ``force``), Conflict naming its users."""
    try:
        daemon.call(SERVICE, "Remove", messages.RemoveRequest(name=name, force=force), Empty)
    except NotFound as error:
        raise _missing(name) from error


def prune(daemon: Daemon, filters: Sequence[str] = (), *, all: bool = False) -> messages.PruneResponse:
    """Remove what no container has: anonymous ones, or ``all``."""
    from pycontainerd.client.happenings import tell

    done = daemon.call(SERVICE, "Prune", messages.PruneRequest(filters=filters, all=all), messages.PruneResponse)
    tell(daemon, "volume", "prune", "", reclaimed=str(done.reclaimed))
    return done


def rename(daemon: Daemon, name: str, new: str) -> None:
    """Give it another name. Raises NotFound, Conflict."""
    request = messages.RenameRequest(name=name, new_name=new)
    try:
        daemon.call(SERVICE, "Rename", request, messages.RenameResponse)
    except NotFound as error:
        raise _missing(name) from error


def clone(
    daemon: Daemon,
    source: str,
    name: str,
    *,
    options: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> messages.Volume:
    """A new volume with another's content. Raises NotFound, Conflict."""
    request = messages.CloneRequest(source=source, name=name, options=options or {}, labels=labels or {})
    try:
        return _one(daemon.call(SERVICE, "Clone", request, messages.CloneResponse).volume)
    except NotFound as error:
        raise _missing(source) from error


def export(daemon: Daemon, name: str, out: Writable, compression: str = "") -> None:
    """Write its content as a tar. Raises NotFound."""
    request = messages.ExportRequest(name=name, compression=compression)
    try:
        with daemon.stream(SERVICE, "Export", request, messages.ExportResponse) as answers:
            for answer in answers:
                out.write(answer.data)
    except NotFound as error:
        raise _missing(name) from error


def load(
    daemon: Daemon,
    name: str,
    archive: Readable,
    *,
    options: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> messages.Volume:
    """Unpack a tar into a volume, which is made if it is not there. Raises InvalidArgument (no tar)."""
    first = messages.CreateRequest(name=name, options=options or {}, labels=labels or {})
    with daemon.open_stream(SERVICE, "Import", messages.ImportResponse) as stream:
        stream.send(messages.ImportRequest(volume=first))
        while data := archive.read(_PIECE):
            stream.send(messages.ImportRequest(data=data))
        stream.close_send()
        answer = stream.recv()
    return _one(answer.volume if answer is not None else None)


def _missing(name: str) -> NotFound:
    return NotFound(f"No such volume: {name}")


def _one(volume: messages.Volume | None) -> messages.Volume:
    return volume if volume is not None else messages.Volume()


# -- containers --


def entries(container: Container) -> list[Json]:
    """What a container has mounted, as ``core.mountentries`` has it."""
    value = container.record.extensions.get(mountentries.EXTENSION)
    return jsontext.loads(value.value) if value is not None else []


def extension(found: Sequence[Json]) -> AnyMessage:
    """Entries as they travel in the record."""
    return AnyMessage(type_url=mountentries.TYPE_URL, value=jsontext.dumps(list(found)).encode())


def wanted(daemon: Daemon, config: Json, host_config: Json) -> list[Json]:
    """The entries of a container to be made. Raises InvalidArgument, NotFound (a container to take volumes from)."""
    inherited: list[Json] = []
    for text in host_config.get("VolumesFrom") or ():
        from pycontainerd.client import containers

        name, access = mountspec.parse_volumes_from(text)
        inherited += mountentries.inherited(entries(containers.find(daemon, name)), access)
    return mountspec.entries(config, host_config, inherited)


def marked_for_removal(container: Container) -> bool:
    """Have the anonymous volumes go with the container's record; say whether that changed it."""
    found = entries(container)
    changed = [{**entry, "remove": True} if entry.get("anonymous") else entry for entry in found]
    if changed == found:
        return False
    container.record.extensions = {**container.record.extensions, mountentries.EXTENSION: extension(changed)}
    return True


def shown(daemon: Daemon, container: Container) -> list[Json]:
    """Docker's ``Mounts`` of an inspected container."""
    found = entries(container)
    places: dict[str, str] = {}
    if any(entry["type"] == mountentries.VOLUME for entry in found):
        places = {volume.name: volume.mountpoint for volume in list_all(daemon)}
    return mountentries.shown(found, lambda name: places.get(name, ""))
