"""``pyctr wait``: block until containers stop."""

from __future__ import annotations

import time

from ctr.each import each
from ctr.flags import Command
from pycontainerd.client import containers, supervisor
from pycontainerd.core.errors import NotFound, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "wait",
    "CONTAINER [CONTAINER...]",
    "Wait until containers stop, then print their exit codes",
    least=1,
    example="pyctr wait job",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0; the containers' own codes are printed."""

    def wait(name: str) -> str:
        container = containers.find(context.daemon, name)
        try:
            return str(_exit_code(context, container.id))
        except NotFound as error:  # it was removed meanwhile
            raise NotFound(f"No such container: {name}") from error

    return each(arguments, wait)


_RETRY, _PATIENCE = 0.5, 30.0
"""Seconds between questions to a daemon that is away, and how long it may be."""


def _exit_code(context: Context, id: str) -> int:
    """Ask until told: a daemon that is restarted meanwhile does not end the wait."""
    asked = time.monotonic()
    deadline = asked + _PATIENCE
    while True:
        with context.daemon.another() as waiting:
            try:
                return supervisor.wait(waiting, id).exit_code
            except Unavailable:
                now = time.monotonic()
                if now - asked > _RETRY:  # it was there meanwhile
                    deadline = now + _PATIENCE
                if now >= deadline:
                    raise
        time.sleep(_RETRY)
        asked = time.monotonic()
