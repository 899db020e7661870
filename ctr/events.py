"""``pyctr events``: what happened in the last day, and what happens now, as Docker tells it."""

from __future__ import annotations

import sys
import time

from ctr.flags import LIST, STRING, Command, flag
from pycontainerd.client import events
from pycontainerd.client.times import parse_moment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values
    from pycontainerd.client.events import Event

COMMAND = Command(
    "events",
    "[OPTIONS]",
    "Get real time events, and those of the last day",
    (
        flag(
            "filter",
            "f",
            LIST,
            "Filter output (container, event, image, label, network, type, volume)",
            metavar="filter",
        ),
        flag("format", "", STRING, "Format output with a Go template (or json)"),
        flag("since", "", STRING, "Show all events since a time or a while ago"),
        flag("until", "", STRING, "Stream events until a time or a while ago"),
    ),
    most=0,
    example="pyctr events --since 1h --until 0s --filter type=container --filter event=die",
    notes="Events are kept on disk for a day.",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0; without --until, goes on until ctrl-c."""
    now = time.time_ns()
    since = parse_moment(values.text("since"), now) if values.given("since") else 0
    until = parse_moment(values.text("until"), now) if values.given("until") else 0
    wanted = events.Filter(values.items("filter"))
    how = values.text("format")
    show = _line
    if how in ("json", "{{json .}}"):
        show = _json
    elif how:
        from ctr.template import Template
        from ctr.template_fields import look_up

        template = Template(how, look_up)

        def show(event: Event) -> str:
            return template.execute(event.fields())

    for event in events.read(context.daemon, since or (0 if until else now), until):
        if wanted(event):
            print(show(event))
            sys.stdout.flush()
    return 0


def _json(event: Event) -> str:
    from pycontainerd.client.jsontext import dumps

    return dumps(event.document())


def _line(event: Event) -> str:
    seconds, fraction = divmod(event.at, 10**9)
    local = time.localtime(seconds)
    zone = time.strftime("%z", local)
    text = (
        time.strftime("%Y-%m-%dT%H:%M:%S", local)
        + f".{fraction:09d}"
        + ("Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}")
    )
    attributes = ", ".join(f"{key}={value}" for key, value in sorted(event.attributes.items()))
    return f"{text} {event.type} {event.action} {event.id}" + (f" ({attributes})" if attributes else "")
