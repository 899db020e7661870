"""Events as Docker's users know them, made of containerd's and our own from the daemon's journal."""

from __future__ import annotations

from pycontainerd.client import containers
from pycontainerd.client.images import familiar
from pycontainerd.client.times import from_ns, ns
from pycontainerd.client.volumes import entries
from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.mountentries import VOLUME
from pycontainerd.wire.messages import events_image, events_task, history, supervisor
from pycontainerd.wire.messages.history import Happened, VolumeMount
from pycontainerd.wire.messages.types import Envelope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from pycontainerd.client.containers import Container
    from pycontainerd.client.daemon import Daemon

    Json = dict[str, Any]
    Attributes = dict[str, str]

SERVICE = "pycontainerd.events.v1.History"
RENAMED = "/names/rename"
_LIVES = tuple(f'topic=="{topic}"' for topic in ("/happened/container/create", "/happened/container/destroy", RENAMED))
"""Filters for the events by which containers are known."""


class Event:
    """One event: ``type`` (container, image, …), ``action``, whose ``id``, ``attributes``, ``at`` in nanoseconds."""

    __slots__ = ("action", "at", "attributes", "id", "type")

    def __init__(self, type: str, action: str, id: str, attributes: Attributes | None = None) -> None:
        self.type, self.action, self.id = type, action, id
        self.attributes: Attributes = attributes or {}
        self.at = 0

    def document(self) -> Json:
        """Docker's JSON of an event; those of containers and images have its older fields, too."""
        older: Json = {"status": self.action, "id": self.id} if self.type in ("container", "image") else {}
        if older and self.type == "container":
            older["from"] = self.attributes.get("image", "")
        return {
            **older,
            "Type": self.type,
            "Action": self.action,
            "Actor": {"ID": self.id, "Attributes": self.attributes},
            "scope": "local",
            "time": self.at // 10**9,
            "timeNano": self.at,
        }

    def fields(self) -> Json:
        """The same for templates, which know every field by its capital."""
        found = self.document()
        named = {
            "Status": "status",
            "ID": "id",
            "From": "from",
            "Scope": "scope",
            "Time": "time",
            "TimeNano": "timeNano",
        }
        return {**found, **{field: found.get(key, "") for field, key in named.items()}}


class Filter:
    """``--filter``: values of one key are alternatives, keys must all hold. Raises InvalidArgument."""

    KEYS = ("container", "event", "image", "label", "network", "scope", "type", "volume")
    ELSEWHERE = ("config", "daemon", "node", "plugin", "secret", "service")
    """Docker's keys for things that there are not here: no event is of one."""

    def __init__(self, items: Sequence[str]) -> None:
        self._wanted: dict[str, list[str]] = {}
        for item in items:
            key, equals, value = item.partition("=")
            if not equals or key not in (*self.KEYS, *self.ELSEWHERE):
                raise InvalidArgument("invalid filter", item, f"there are {', '.join(self.KEYS)}")
            self._wanted.setdefault(key, []).append(value)

    def __call__(self, event: Event) -> bool:
        """Whether the event passes."""
        return all(any(_fits(event, key, value) for value in values) for key, values in self._wanted.items())


def _fits(event: Event, key: str, value: str) -> bool:
    if key == "type":
        return event.type == value
    if key == "scope":
        return value == "local"
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
    teller = _Teller(daemon, since)
    for envelope in _history(daemon, since, until, follow=True):
        yield from teller.told(envelope)


def _history(
    daemon: Daemon, since: int, until: int, filters: Sequence[str] = (), *, follow: bool
) -> Iterator[Envelope]:
    request = history.ReadHistoryRequest(
        since=from_ns(since) if since else None,
        until=from_ns(until) if until else None,
        filters=filters,
        follow=follow,
    )
    with daemon.stream(SERVICE, "Read", request, Envelope) as answers:
        for envelope in answers:
            if envelope.namespace == daemon.namespace:
                yield envelope


class _Known:
    """What events of a container say beside themselves: its attributes, and the volumes it mounts while it runs."""

    __slots__ = ("attributes", "mounts")

    def __init__(self, attributes: Attributes, mounts: Sequence[VolumeMount] = ()) -> None:
        self.attributes, self.mounts = attributes, mounts


class _Teller:
    """Knows names, images, labels and volumes of containers, those that are gone included.

    They are in the events of their creation and removal, and in the records of those that are there. Renames before
    ``since`` (nanoseconds) are looked up, later ones are followed as they are told.
    """

    def __init__(self, daemon: Daemon, since: int) -> None:
        self._known: dict[str, _Known] = {}
        self._commands: dict[str, str] = {}
        renames: list[tuple[int, supervisor.Renamed]] = []
        for envelope in _history(daemon, 0, 0, _LIVES, follow=False):
            if envelope.event is None:
                continue
            if envelope.topic == RENAMED:
                renames.append((ns(envelope.timestamp), supervisor.Renamed.decode(envelope.event.value)))
            else:
                self._learn(Happened.decode(envelope.event.value))
        for container in containers.list_all(daemon):
            self._known.setdefault(container.id, _recorded(container))
        for _, renamed in reversed(renames):  # back to the first name …
            self._rename(renamed.container_id, renamed.old)
        for at, renamed in renames:  # … and on to the one at that time
            if at < since:
                self._rename(renamed.container_id, renamed.new)

    def _learn(self, told: Happened) -> None:
        attributes = {**told.attributes, "image": familiar(told.attributes.get("image", ""))}
        self._known.setdefault(told.id, _Known(attributes, told.mounts))

    def _rename(self, id: str, name: str) -> None:
        self._known.setdefault(id, _Known({})).attributes["name"] = name

    def told(self, envelope: Envelope) -> list[Event]:
        """None, one or several events for one of the daemon's."""
        act = _Teller.happened if envelope.topic.startswith("/happened/") else _TOPICS.get(envelope.topic)
        if act is None or envelope.event is None:
            return []
        found = act(self, envelope.event.value)
        for event in found:
            event.at = ns(envelope.timestamp)
        return found

    def of(self, action: str, id: str, **more: str) -> list[Event]:
        """An event of a container."""
        known = self._known.get(id)
        return [Event("container", action, id, {**(known.attributes if known else {}), **more})]

    def happened(self, data: bytes) -> list[Event]:
        """What is told in our own words."""
        told = Happened.decode(data)
        if told.type != "container" or not told.id:
            return [Event(told.type, told.action, told.id, dict(told.attributes))]
        if told.action in ("create", "destroy"):
            self._learn(told)
            return self.of(told.action, told.id)
        if told.action.startswith("exec_create: "):
            self._commands[told.attributes.get("execID", "")] = told.action.partition(": ")[2]
        return self.of(told.action, told.id, **told.attributes)

    def started(self, data: bytes) -> list[Event]:
        """The start, and before it what is mounted for it."""
        container = events_task.TaskStart.decode(data).container_id
        return [*self._mounts("mount", container), *self.of("start", container)]

    def exec_started(self, data: bytes) -> list[Event]:
        """The start of a further process."""
        told = events_task.TaskExecStarted.decode(data)
        command = self._commands.pop(told.exec_id, "")
        return self.of(f"exec_start: {command}" if command else "exec_start", told.container_id, execID=told.exec_id)

    def exited(self, data: bytes) -> list[Event]:
        """The end of a process; that of the first one lets go of what was mounted."""
        told = events_task.TaskExit.decode(data)
        if told.id != told.container_id:
            return self.of("exec_die", told.container_id, execID=told.id, exitCode=str(told.exit_status))
        died = self.of("die", told.container_id, exitCode=str(told.exit_status))
        return [*died, *self._mounts("unmount", told.container_id)]

    def renamed(self, data: bytes) -> list[Event]:
        """Another name, which its events have from now on."""
        told = supervisor.Renamed.decode(data)
        self._rename(told.container_id, told.new)
        return self.of("rename", told.container_id, oldName="/" + told.old)

    def _mounts(self, action: str, id: str) -> list[Event]:
        known = self._known.get(id)
        found = []
        for mount in known.mounts if known else ():
            attributes = {"container": id, "driver": "local"}
            if action == "mount":
                attributes["destination"] = mount.destination
                attributes["propagation"] = mount.propagation
                attributes["read/write"] = "false" if mount.readonly else "true"
            found.append(Event("volume", action, mount.volume, attributes))
        return found


def _recorded(container: Container) -> _Known:
    """What the record of a container says."""
    labels = container.config.get("Labels") or {}
    image = container.config.get("Image") or familiar(container.record.image)
    mounts = [
        VolumeMount(
            volume=entry["volume"],
            destination=entry["target"],
            readonly=bool(entry.get("readonly")),
            propagation=entry.get("propagation", ""),
        )
        for entry in entries(container)
        if entry["type"] == VOLUME
    ]
    return _Known({**labels, "image": image, "name": container.name}, mounts)


def _task(message: Any, action: str) -> Callable[[_Teller, bytes], list[Event]]:
    def told(teller: _Teller, data: bytes) -> list[Event]:
        return teller.of(action, message.decode(data).container_id)

    return told


def _health(teller: _Teller, data: bytes) -> list[Event]:
    told = supervisor.HealthChanged.decode(data)
    return teller.of(f"health_status: {told.status}", told.container_id)


def _image(message: Any, action: str) -> Callable[[_Teller, bytes], list[Event]]:
    def told(_teller: _Teller, data: bytes) -> list[Event]:
        name = familiar(message.decode(data).name)
        return [Event("image", action, name, {"name": name})]

    return told


_TOPICS: dict[str, Callable[[_Teller, bytes], list[Event]]] = {
    "/tasks/start": _Teller.started,
    "/tasks/exit": _Teller.exited,
    "/tasks/oom": _task(events_task.TaskOOM, "oom"),
    "/tasks/paused": _task(events_task.TaskPaused, "pause"),
    "/tasks/resumed": _task(events_task.TaskResumed, "unpause"),
    "/tasks/exec-started": _Teller.exec_started,
    RENAMED: _Teller.renamed,
    "/supervisor/health": _health,
    "/images/create": _image(events_image.ImageCreate, "tag"),
    "/images/update": _image(events_image.ImageUpdate, "tag"),
    "/images/delete": _image(events_image.ImageDelete, "untag"),
}
