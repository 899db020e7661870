"""What happened, in the words of Docker's events: the messages behind those that containerd has no event for.

They go to the event journal and not to containerd's subscribers (``pycontainerd.events.v1.Happened`` says why). The
names, kinds and attributes are those of Docker's event reference.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pycontainerd.core import mountentries, settings
from pycontainerd.wire.messages.history import Happened, VolumeMount

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycontainerd.core.containers import Container
    from pycontainerd.core.values import AnyValue

    Json = dict[str, Any]

CONTAINER, IMAGE, NETWORK, VOLUME = "container", "image", "network", "volume"
TYPES = (CONTAINER, IMAGE, NETWORK, VOLUME)
PREFIX = "/happened"

Tell = Callable[[str, Happened], None]
"""``tell(namespace, message)``: never raises, never blocks; called after the change is committed."""


def untold(namespace: str, message: Happened) -> None:
    """For tests and tools that keep no journal."""


def topic_of(message: Happened) -> str:
    """The topic of a message: its type and the first word of its action."""
    return f"{PREFIX}/{message.type}/{message.action.partition(':')[0]}"


def container(action: str, id: str, **attributes: str) -> Happened:
    """What happened to a container; readers add its name, image and labels themselves."""
    return Happened(type=CONTAINER, action=action, id=id, attributes=attributes)


def record(action: str, value: Container) -> Happened:
    """The creation or removal of a container, with all that readers have to know of it."""
    config: Json = _document(value.extensions.get(settings.EXTENSION), dict).get("Config") or {}
    labels = config.get("Labels") if config else value.labels
    name = value.labels.get(settings.NAME_LABEL) or value.id
    image = config.get("Image") or value.image
    entries = _document(value.extensions.get(mountentries.EXTENSION), list)
    mounts = [_mount(entry) for entry in entries if entry.get("type") == mountentries.VOLUME]
    attributes = {**{key: str(text) for key, text in (labels or {}).items()}, "image": image, "name": name}
    return Happened(type=CONTAINER, action=action, id=value.id, attributes=attributes, mounts=mounts)


def _mount(entry: Mapping[str, Any]) -> VolumeMount:
    return VolumeMount(
        volume=entry.get("volume", ""),
        destination=entry.get("target", ""),
        readonly=bool(entry.get("readonly")),
        propagation=entry.get("propagation", ""),
    )


def _document(value: AnyValue | None, kind: type) -> Any:
    """The JSON of an extension; an empty one for none, and for another kind (extensions are anybody's to write)."""
    try:
        found = json.loads(value.value) if value is not None else None
    except ValueError:
        found = None
    return found if isinstance(found, kind) else kind()


def exec_created(id: str, exec_id: str, spec: AnyValue | None) -> Happened:
    """A further process was registered; ``spec`` is its OCI process."""
    command = " ".join(map(str, _document(spec, dict).get("args") or ()))
    return container(f"exec_create: {command}", id, execID=exec_id)


def volume(action: str, name: str, driver: str) -> Happened:
    """A volume came or went."""
    return Happened(type=VOLUME, action=action, id=name, attributes={"driver": driver})


def network(action: str, id: str, name: str, driver: str, *, container: str = "") -> Happened:
    """A network came or went, or a container joined or left it."""
    attributes = {"name": name, "type": driver}
    if container:
        attributes["container"] = container
    return Happened(type=NETWORK, action=action, id=id, attributes=attributes)
