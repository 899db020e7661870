"""Containers seen from outside: the record, and the settings a Docker user gave, which live in its extension."""

from __future__ import annotations

from pycontainerd.client import jsontext
from pycontainerd.client.times import ns
from pycontainerd.core.errors import NotFound
from pycontainerd.core.settings import EXTENSION, NAME_LABEL, TYPE_URL, labels_for_record
from pycontainerd.wire.messages import containers as messages
from pycontainerd.wire.messages.google import Any as AnyMessage
from pycontainerd.wire.messages.google import Empty, FieldMask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pycontainerd.client.daemon import Daemon

    Json = dict[str, Any]

SERVICE = "containerd.services.containers.v1.Containers"


class Container:
    """A record and its settings; those of other clients' containers (``ctr``, dockerd) are made up from the record."""

    __slots__ = ("_settings", "record")

    def __init__(self, record: messages.Container) -> None:
        self.record = record
        self._settings: Json | None = None

    @property
    def id(self) -> str:
        """The full id."""
        return self.record.id

    @property
    def ours(self) -> bool:
        """Whether pyctr made it."""
        return EXTENSION in self.record.extensions

    @property
    def settings(self) -> Json:
        """The document of ``core.settings``; changes are kept by ``save_settings``."""
        if self._settings is None:
            extension = self.record.extensions.get(EXTENSION)
            self._settings = jsontext.loads(extension.value) if extension is not None else self._made_up()
        return self._settings

    def _made_up(self) -> Json:
        process = self.spec.get("process") or {}
        return {
            "Name": "",
            "Config": {"Cmd": process.get("args"), "Env": process.get("env"), "Image": self.record.image},
            "HostConfig": {},
        }

    @property
    def spec(self) -> Json:
        """The OCI spec, empty when there is none that can be read."""
        if self.record.spec is None:
            return {}
        try:
            value = jsontext.loads(self.record.spec.value)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def name(self) -> str:
        """The name; the id for a container that has none."""
        return self.settings.get("Name") or self.record.labels.get(NAME_LABEL) or self.record.id

    @property
    def config(self) -> Json:
        """Docker's Config."""
        return self.settings["Config"]  # type: ignore[no-any-return]

    @property
    def host_config(self) -> Json:
        """Docker's HostConfig."""
        return self.settings["HostConfig"]  # type: ignore[no-any-return]

    @property
    def created(self) -> int:
        """When, in nanoseconds since 1970."""
        return ns(self.record.created_at)


def extension(settings: Json) -> AnyMessage:
    """The settings as they travel in the record."""
    return AnyMessage(type_url=TYPE_URL, value=jsontext.dumps(settings).encode())


def get(daemon: Daemon, id: str) -> Container:
    """By its full id. Raises NotFound."""
    answer = daemon.call(SERVICE, "Get", messages.GetContainerRequest(id=id), messages.GetContainerResponse)
    if answer.container is None:
        raise NotFound("container", id)
    return Container(answer.container)


def list_all(daemon: Daemon, filters: Sequence[str] = ()) -> list[Container]:
    """All of the namespace, or those that any of the filters matches."""
    request = messages.ListContainersRequest(filters=filters)
    answer = daemon.call(SERVICE, "List", request, messages.ListContainersResponse)
    return [Container(record) for record in answer.containers]


def find(daemon: Daemon, text: str) -> Container:
    """The container a user means: by its id, its name, or the beginning of its id, in this order.

    Raises NotFound; InvalidArgument when several ids begin so, naming them.
    """
    from pycontainerd.client import names

    found = names.resolve(daemon, text).container
    if found is None:
        raise NotFound(f"No such container: {text}")
    return Container(found)


def create(daemon: Daemon, record: messages.Container, *, lease: str = "") -> messages.Container:
    """The record as it was stored: the daemon gives names to anonymous volumes. Raises AlreadyExists."""
    request = messages.CreateContainerRequest(container=record)
    return daemon.call(SERVICE, "Create", request, messages.CreateContainerResponse, lease=lease).container or record


def delete(daemon: Daemon, id: str) -> None:
    """Delete the record alone; one that is gone is fine."""
    try:
        daemon.call(SERVICE, "Delete", messages.DeleteContainerRequest(id=id), Empty)
    except NotFound:
        pass


def save(daemon: Daemon, container: Container, *paths: str) -> None:
    """Write the named fields of the record back (``spec``, ``labels``, …); the settings always."""
    record = container.record
    if container.ours:
        record.extensions = {**record.extensions, EXTENSION: extension(container.settings)}
        paths = (*paths, "extensions")
    request = messages.UpdateContainerRequest(container=record, update_mask=FieldMask(paths=list(paths)))
    daemon.call(SERVICE, "Update", request, messages.UpdateContainerResponse)


def labels(name: str, config: Json) -> dict[str, str]:
    """What the record's labels are made of."""
    return labels_for_record(name, config.get("Labels") or {})
