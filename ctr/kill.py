"""``pyctr kill``: send a signal to running containers."""

from __future__ import annotations

from ctr.each import each
from ctr.flags import STRING, Command, flag
from ctr.signals import parse_signal
from pycontainerd.client import containers, lifecycle, supervisor, tasks
from pycontainerd.core.errors import Conflict, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values
    from pycontainerd.client.containers import Container

COMMAND = Command(
    "kill",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Kill one or more running containers",
    (flag("signal", "s", STRING, "Signal to send to the container", default="KILL"),),
    least=1,
    example="pyctr kill -s HUP web",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0 when the signal was sent to all."""
    number = parse_signal(values.text("signal"))
    return each(arguments, lambda name: _kill(context, name, number))


def _kill(context: Context, name: str, number: int) -> None:
    daemon = context.daemon
    container = containers.find(daemon, name)
    try:
        process = tasks.get(daemon, container.id)
        if process is None or process.status not in lifecycle.LIVE:
            raise NotFound("task", container.id)
        if number in (lifecycle.KILL, _stop_signal(container)):  # meant to end it, so its policy must not restart it
            supervisor.mark_stopped(daemon, container.id)
        tasks.kill(daemon, container.id, number)
        if number == lifecycle.KILL and process.status == tasks.PAUSED:
            tasks.resume(daemon, container.id)  # a frozen process dies when it thaws
    except NotFound as error:
        raise Conflict(f"Cannot kill container: {name}: Container {container.id} is not running") from error
    if number == lifecycle.KILL:
        with daemon.another() as waiting:
            supervisor.wait(waiting, container.id)
        lifecycle.ended(daemon, container)


def _stop_signal(container: Container) -> int:
    return parse_signal(container.config.get("StopSignal") or "TERM")
