"""What state a container is in, in Docker's terms: from its task if it has one, else from what is kept of its end."""

from __future__ import annotations

from pycontainerd.client import lifecycle, tasks
from pycontainerd.client.times import ns
from pycontainerd.core.units import human_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pycontainerd.client.containers import Container
    from pycontainerd.wire.messages.types_task import Process

    Json = dict[str, Any]

STATUSES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")


class State:
    """``status`` is one of ``STATUSES``; times in nanoseconds since 1970, 0 for one that has not come."""

    __slots__ = ("exit_code", "finished", "oom_killed", "pid", "started", "status")

    def __init__(self, container: Container, process: Process | None) -> None:
        self.pid = self.exit_code = self.finished = 0
        self.started = container.moment("StartedAt")
        self.oom_killed = bool(container.state.get("OOMKilled"))
        if process is not None and process.status in lifecycle.LIVE:
            self.status = "running" if process.status == tasks.RUNNING else "paused"
            self.pid = process.pid
            self.started = lifecycle.start_time(process.pid) or self.started or container.created
        elif process is not None and process.status == tasks.STOPPED:
            self.status = "exited"
            self.exit_code, self.finished = process.exit_status, ns(process.exited_at)
            self.started = self.started or container.created
        elif "ExitCode" in container.state:
            self.status = "exited"
            self.exit_code, self.finished = container.state["ExitCode"], container.moment("FinishedAt")
        else:
            self.status, self.started = "created", 0

    @property
    def running(self) -> bool:
        """Whether it has live processes, paused ones included."""
        return self.status in ("running", "paused")

    def sentence(self, now: int) -> str:
        """The STATUS column of ``ps``: ``Up 3 minutes (Paused)``, ``Exited (0) 2 hours ago``, ``Created``."""
        if self.running:
            paused = " (Paused)" if self.status == "paused" else ""
            return f"Up {human_duration((now - self.started) / 1e9)}{paused}"
        if self.status == "exited":
            return f"Exited ({self.exit_code}) {human_duration((now - self.finished) / 1e9)} ago"
        return self.status.capitalize()
