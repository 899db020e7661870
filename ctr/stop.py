"""``pyctr stop``: ask containers to end, and kill those that do not."""

from __future__ import annotations

from ctr.each import each
from ctr.flags import INT, STRING, Command, flag
from ctr.signals import parse_signal
from pycontainerd.client import containers, lifecycle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values
    from pycontainerd.client.containers import Container

FLAGS = (
    flag("signal", "s", STRING, "Signal to send (default: the container's, or SIGTERM)"),
    flag("time", "t", INT, "Seconds to wait before killing it (-1: for ever)", default="10"),
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


def stop(context: Context, values: Values, container: Container, *, discard: bool = True) -> None:
    """Stop one with the signal and the patience asked for, or its own; with ``discard``, ``--rm`` is minded."""
    text = values.text("signal") or container.config.get("StopSignal") or "SIGTERM"
    patience = container.config.get("StopTimeout", lifecycle.PATIENCE)
    for name in ("time", "timeout"):
        if values.given(name):
            patience = values.number(name)
    lifecycle.stop(context.daemon, container, signal=parse_signal(text), patience=patience)
    gone = lifecycle.settle(context.daemon, container) is None
    if gone and discard and container.host_config.get("AutoRemove"):
        lifecycle.discard(context.daemon, container)
