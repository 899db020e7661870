"""Events as Docker's users know them, made of containerd's and our own from the daemon's journal."""

from __future__ import annotations

from pycontainerd.client import containers
from pycontainerd.client.images import familiar
from pycontainerd.client.times import from_ns, ns
from pycontainerd.core.errors import InvalidArgument, PycontainerdError
from pycontainerd.core.settings import NAME_LABEL
from pycontainerd.wire.messages import events_container, events_image, events_task, history, supervisor
from pycontainerd.wire.messages.types import Envelope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from pycontainerd.client.daemon import Daemon

    Json = dict[str, Any]
    Attributes = dict[str, str]

SERVICE = "pycontainerd.events.v1.History"


class Event:
    """One event: ``type`` (container, image, …), ``action``, whose ``id``, ``attributes``, ``at`` in nanoseconds."""

    __slots__ = ("action", "at", "attributes", "id", "type")

    def __init__(self, type: str, action: str, id: str, attributes: Attributes | None = None) -> None:
        self.type, self.action, self.id = type, action, id
        self.attributes: Attributes = attributes or {}
        self.at = 0

    def document(self) -> Json:
        """Docker's JSON of an event, its older fields included."""
        return {
            "status": self.action,
            "id": self.id,
            "from": self.attributes.get("image", ""),
            "Type": self.type,
            "Action": self.action,
            "Actor": {"ID": self.id, "Attributes": self.attributes},
            "scope": "local",
            "time": self.at // 10**9,
            "timeNano": self.at,
            "Status": self.action,
            "ID": self.id,
            "From": self.attributes.get("image", ""),
            "Time": self.at // 10**9,
            "TimeNano": self.at,
            "Scope": "local",
        }


class Filter:
    """``--filter``: values of one key are alternatives, keys must all hold. Raises InvalidArgument."""

    KEYS = ("container", "event", "image", "label", "network", "type", "volume")

    def __init__(self, items: Sequence[str]) -> None:
        self._wanted: dict[str, list[str]] = {}
        for item in items:
            key, equals, value = item.partition("=")
            if not equals or key not in self.KEYS:
                raise InvalidArgument("invalid filter", item, f"there are {', '.join(self.KEYS)}")
            self._wanted.setdefault(key, []).append(value)

    def __call__(self, event: Event) -> bool:
        """Whether the event passes."""
        return all(any(_fits(event, key, value) for value in values) for key, values in self._wanted.items())


def _fits(event: Event, key: str, value: str) -> bool:
    if key == "type":
        return event.type == value
    if key == "event":
        return event.action == value or event.action.partition(":")[0] == value
    if key == "label":
        name, equals, wanted = value.partition("=")
        return name in event.attributes and (not equals or event.attributes[name] == wanted)
    named = event.attributes.get("name", "")
    if key == "image":
        image = event.attributes.get("image", "") if event.type == "container" else event.id
        return value in (image, image.rpartition(":")[0])
    owner = event.attributes.get(key, "") if event.type != key else ""
    return (event.type == key and (named == value or (bool(value) and event.id.startswith(value)))) or owner == value


def read(daemon: Daemon, since: int, until: int) -> Iterator[Event]:
    """Events of our namespace from ``since`` (0: the oldest) to ``until`` (0: for ever)."""
    request = history.ReadHistoryRequest(
        since=from_ns(since) if since else None,
        until=from_ns(until) if until else None,
        follow=True,
    )
    teller = _Teller(daemon)
    with daemon.stream(SERVICE, "Read", request, Envelope) as answers:
        for envelope in answers:
            if envelope.namespace == daemon.namespace:
                yield from teller.told(envelope)


class _Teller:
    """Remembers names and images of containers, which most events do not carry."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._known: dict[str, Attributes] = {}
        for container in containers.list_all(daemon):
            self._known[container.id] = _attributes(container)

    def told(self, envelope: Envelope) -> list[Event]:
        """None, one or several events for one of the daemon's."""
        act = _TOPICS.get(envelope.topic)
        if act is None or envelope.event is None:
            return []
        found = act(self, envelope.event.value)
        for event in found:
            event.at = ns(envelope.timestamp)
        return found

    def of(self, action: str, id: str, **more: str) -> list[Event]:
        """An event of a container."""
        return [Event("container", action, id, {**self._known.get(id, {}), **more})]

    def create(self, data: bytes) -> list[Event]:
        told = events_container.ContainerCreate.decode(data)
        try:
            with self._daemon.another() as asking:
                self._known.setdefault(told.id, _attributes(containers.get(asking, told.id)))
        except PycontainerdError:  # it is gone again
            self._known.setdefault(told.id, {"image": familiar(told.image), "name": told.id})
        return self.of("create", told.id)

    def delete(self, data: bytes) -> list[Event]:
        told = events_container.ContainerDelete.decode(data)
        found = self.of("destroy", told.id)
        self._known.pop(told.id, None)
        return found

    def changed(self, data: bytes) -> list[Event]:
        told = events_container.ContainerUpdate.decode(data)
        known = self._known.setdefault(told.id, {})
        if told.labels.get(NAME_LABEL):
            known["name"] = told.labels[NAME_LABEL]
        return []

    def exited(self, data: bytes) -> list[Event]:
        told = events_task.TaskExit.decode(data)
        if told.id != told.container_id:
            return self.of("exec_die", told.container_id, execID=told.id, exitCode=str(told.exit_status))
        return self.of("die", told.container_id, exitCode=str(told.exit_status))

    def renamed(self, data: bytes) -> list[Event]:
        told = supervisor.Renamed.decode(data)
        self._known.setdefault(told.container_id, {})["name"] = told.new
        return self.of("rename", told.container_id, oldName="/" + told.old)


def _attributes(container: containers.Container) -> Attributes:
    labels = container.config.get("Labels") or {}
    image = container.config.get("Image") or familiar(container.record.image)
    return {**labels, "image": image, "name": container.name}


def _task(message: Any, action: str) -> Callable[[_Teller, bytes], list[Event]]:
    def tell(teller: _Teller, data: bytes) -> list[Event]:
        return teller.of(action, message.decode(data).container_id)

    return tell


def _exec(message: Any, action: str) -> Callable[[_Teller, bytes], list[Event]]:
    def tell(teller: _Teller, data: bytes) -> list[Event]:
        told = message.decode(data)
        return teller.of(action, told.container_id, execID=told.exec_id)

    return tell


def _health(teller: _Teller, data: bytes) -> list[Event]:
    told = supervisor.HealthChanged.decode(data)
    return teller.of(f"health_status: {told.status}", told.container_id)


def _image(message: Any, action: str) -> Callable[[_Teller, bytes], list[Event]]:
    def tell(_teller: _Teller, data: bytes) -> list[Event]:
        name = familiar(message.decode(data).name)
        return [Event("image", action, name, {"name": name})]

    return tell


_TOPICS: dict[str, Callable[[_Teller, bytes], list[Event]]] = {
    "/containers/create": _Teller.create,
    "/containers/update": _Teller.changed,
    "/containers/delete": _Teller.delete,
    "/tasks/start": _task(events_task.TaskStart, "start"),
    "/tasks/exit": _Teller.exited,
    "/tasks/oom": _task(events_task.TaskOOM, "oom"),
    "/tasks/paused": _task(events_task.TaskPaused, "pause"),
    "/tasks/resumed": _task(events_task.TaskResumed, "unpause"),
    "/tasks/exec-added": _exec(events_task.TaskExecAdded, "exec_create"),
    "/tasks/exec-started": _exec(events_task.TaskExecStarted, "exec_start"),
    "/names/rename": _Teller.renamed,
    "/supervisor/health": _health,
    "/images/create": _image(events_image.ImageCreate, "tag"),
    "/images/update": _image(events_image.ImageUpdate, "tag"),
    "/images/delete": _image(events_image.ImageDelete, "untag"),
}
