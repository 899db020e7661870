"""What the daemon sees to for a container: the plan, which its record asks for, and the state, which is kept in a row.

A container is supervised when it carries our settings (``core.settings``) or containerd's restart labels. All others
are their clients' own business.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from pycontainerd.core import mountentries, restart
from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.health import HealthCheck, check_of
from pycontainerd.core.restart import Attempts, Policy
from pycontainerd.core.settings import EXTENSION
from pycontainerd.core.signals import signal_number
from pycontainerd.core.values import AnyValue

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pycontainerd.core.containers import Container
    from pycontainerd.core.health import Health

CREATED, RUNNING, PAUSED, RESTARTING, REMOVING, EXITED = (
    "created", "running", "paused", "restarting", "removing", "exited",
)  # fmt: skip
NOBODY_KNOWS = 255
"""The exit code of a run whose end nobody saw: the host went down."""
NOT_STARTED = 128
"""The exit code of a container that could not be started."""
STOP_SIGNAL_LABEL = "io.containerd.image.config.stop-signal"
PATIENCE = 10.0
"""Seconds between a stop signal and SIGKILL unless the container says otherwise."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a container's record asks for.

    ``by_labels``: the policy comes from containerd's labels, and ``wanted`` is what they want it to be (running or
    stopped). ``ours``: it carries our settings. ``patience`` in seconds, ``stop_signal`` a name, a number or empty.
    """

    policy: Policy = field(default_factory=Policy)
    ours: bool = False
    auto_remove: bool = False
    restart_on_unhealthy: bool = False
    health: HealthCheck | None = None
    stop_signal: str = ""
    patience: float = PATIENCE
    by_labels: bool = False
    wanted: str = ""
    explicitly_stopped: bool = False

    @property
    def stop_number(self) -> int:
        """The signal that asks it to end."""
        return signal_number(self.stop_signal)

    @property
    def held_down(self) -> bool:
        """Whether the labels forbid a restart."""
        if not self.by_labels:
            return False
        return self.wanted != RUNNING or (self.policy.name == restart.UNLESS_STOPPED and self.explicitly_stopped)


@dataclass(frozen=True, slots=True)
class RunState:
    """How a container is, or ended, as it is kept over the death of daemon and host.

    ``stopped``: somebody asked for its end. ``pid`` and ``started_at`` are those of the last run; ``restart_at`` counts
    while ``status`` is restarting.
    """

    status: str = CREATED
    pid: int = 0
    exit_code: int = 0
    oom_killed: bool = False
    stopped: bool = False
    error: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempts: Attempts = field(default_factory=Attempts)
    restart_at: datetime | None = None
    health: Health | None = None


class RunStates(Protocol):
    """The rows, by namespace and container id. They go with their container."""

    def load(self) -> Mapping[tuple[str, str], RunState]:
        """All rows of all namespaces."""

    def put(self, namespace: str, id: str, state: RunState, *, durable: bool) -> None:
        """Write one row, unless its container is gone."""


class ContainerWatcher(Protocol):
    """Who wants to know of each change to container records. Called after the commit, on any thread; must not block."""

    def changed(self, namespace: str, container: Container) -> None: ...

    def deleted(self, namespace: str, id: str) -> None: ...


class NoContainerWatcher:
    """Nobody."""

    def changed(self, namespace: str, container: Container) -> None:
        """Nothing."""

    def deleted(self, namespace: str, id: str) -> None:
        """Nothing."""


def settings_of(container: Container) -> dict[str, Any] | None:
    """Our settings in the record's extension; None when there are none that can be read."""
    extension = container.extensions.get(EXTENSION)
    if extension is None:
        return None
    try:
        settings = json.loads(extension.value)
    except ValueError:
        return None
    return settings if isinstance(settings, dict) else None


def plan_of(container: Container) -> Plan | None:
    """The plan of a container, None for one that is its client's own business."""
    settings = settings_of(container)
    if settings is not None:
        return _from_settings(settings)
    labels = container.labels
    wanted = labels.get(restart.STATUS_LABEL)
    if not wanted:
        return None
    return Plan(
        restart.from_labels(labels),
        stop_signal=labels.get(STOP_SIGNAL_LABEL, ""),
        by_labels=True,
        wanted=wanted,
        explicitly_stopped=labels.get(restart.EXPLICITLY_STOPPED_LABEL, "").lower() in {"1", "t", "true"},
    )


def _from_settings(settings: Mapping[str, Any]) -> Plan:
    config, host = _dict(settings.get("Config")), _dict(settings.get("HostConfig"))
    given = _dict(host.get("RestartPolicy"))
    name, maximum = given.get("Name") or restart.NO, given.get("MaximumRetryCount") or 0
    if name not in restart.POLICIES or not isinstance(maximum, int):
        name, maximum = restart.NO, 0
    timeout = config.get("StopTimeout")
    return Plan(
        Policy(name, maximum if name == restart.ON_FAILURE else 0),
        ours=True,
        auto_remove=bool(host.get("AutoRemove")),
        restart_on_unhealthy=bool(host.get("RestartOnUnhealthy")),
        health=check_of(config),
        stop_signal=str(config.get("StopSignal") or ""),
        patience=float(timeout) if isinstance(timeout, int | float) else PATIENCE,
    )


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def with_policy(container: Container, policy: Policy) -> tuple[Container, tuple[str, ...]]:
    """The container under another policy, and the paths of an update that makes it so. Raises InvalidArgument."""
    settings = settings_of(container)
    if settings is None:
        labels = dict.fromkeys((restart.POLICY_LABEL, restart.STATUS_LABEL), "")
        if policy.name != restart.NO:
            labels = {restart.POLICY_LABEL: str(policy), restart.STATUS_LABEL: RUNNING}
        return replace(container, labels=labels), tuple(f"labels.{key}" for key in labels)
    host = _dict(settings.get("HostConfig"))
    if host.get("AutoRemove") and policy.name != restart.NO:
        raise InvalidArgument(
            "Restart policy cannot be updated because AutoRemove is enabled for the container", container.id
        )
    host["RestartPolicy"] = {"Name": policy.name, "MaximumRetryCount": policy.maximum}
    text = json.dumps({**settings, "HostConfig": host}, ensure_ascii=False, separators=(",", ":"))
    kept = container.extensions[EXTENSION]
    extensions = {EXTENSION: AnyValue(kept.type_url, text.encode())}
    return replace(container, extensions=extensions), (f"extensions.{EXTENSION}",)


def taking_volumes(container: Container) -> Container | None:
    """The container with its anonymous volumes marked to go with it; None when that changes nothing."""
    extension = container.extensions.get(mountentries.EXTENSION)
    if extension is None:
        return None
    entries = json.loads(extension.value)
    marked = [{**entry, "remove": True} if entry.get("anonymous") else entry for entry in entries]
    if marked == entries:
        return None
    value = AnyValue(extension.type_url, json.dumps(marked).encode())
    return replace(container, extensions={**container.extensions, mountentries.EXTENSION: value})
