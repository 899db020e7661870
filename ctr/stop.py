"""``pyctr stop``: ask containers to end, and kill those that do not."""

from __future__ import annotations

from ctr.each import each
from ctr.flags import INT, STRING, Command, flag
from ctr.signals import parse_signal
from pycontainerd.client import containers, lifecycle, supervisor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values
    from pycontainerd.client.containers import Container

FLAGS = (
    flag("signal", "s", STRING, "Signal to send (default: the container's, or SIGTERM)"),
    flag("time", "t", INT, "Seconds to wait before killing it (default: its own, or 10; -1: for ever)"),
    flag("timeout", "", INT, "The same as --time"),
)
COMMAND = Command(
    "stop",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Stop one or more running containers",
    FLAGS,
    least=1,
    example="pyctr stop -t 2 web\npyctr stop $(pyctr ps -q)",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0 when all are stopped."""
    return each(arguments, lambda name: stop(context, values, containers.find(context.daemon, name)))


def stop(context: Context, values: Values, container: Container) -> None:
    """Stop one with the signal and the patience asked for, or its own."""
    text = values.text("signal")
    patience = None
    for name in ("time", "timeout"):
        if values.given(name):
            patience = float(values.number(name))
    number = parse_signal(text) if text else 0
    with context.daemon.another() as waiting:
        supervisor.stop(waiting, container.id, signal=number, timeout=patience)
    if container.host_config.get("AutoRemove"):
        lifecycle.ended(context.daemon, container)
