"""events: what is told of containers that are gone, of networks and of volumes."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from tests.parity.cli import fresh

if TYPE_CHECKING:
    from tests.parity.cli import Cli

Json = dict[str, Any]


def told(cli: Cli, since: str, *filters: str) -> list[Json]:
    words = [word for item in filters for word in ("--filter", item)]
    said = cli.ok("events", "--since", since, "--until", repr(time.time()), "--format", "{{json .}}", *words)
    return [json.loads(line) for line in said.splitlines()]


def test_events_of_a_removed_container_have_its_name(cli: Cli) -> None:
    name, since = fresh(), repr(time.time())
    cli.ok("run", "--name", name, "-l", "color=red", "--network", "none", "busybox", "true")
    cli.ok("rename", name, f"{name}x")
    cli.ok("rm", f"{name}x")
    found = [event for event in told(cli, since, "type=container") if event["Action"] != "attach"]
    assert [event["Action"] for event in found] == ["create", "start", "die", "rename", "destroy"]
    assert [event["Actor"]["Attributes"]["name"] for event in found] == [name] * 3 + [f"{name}x"] * 2
    for event in found:
        attributes = event["Actor"]["Attributes"]
        assert (attributes["image"], attributes["color"]) == ("busybox", "red")
        assert event["from"] == "busybox"
        assert event["status"] == event["Action"]
    assert [event["Actor"]["ID"] for event in told(cli, since, f"container={name}x", "event=destroy")]


def test_events_of_a_volume(cli: Cli) -> None:
    volume, name, since = fresh("par-volume"), fresh(), repr(time.time())
    cli.ok("volume", "create", volume)
    mount = f"{volume}:/data:ro"
    container = cli.ok("run", "-d", "--name", name, "-v", mount, "--network", "none", "busybox", "sleep", "1000")
    cli.ok("rm", "-f", name)
    cli.ok("volume", "rm", volume)
    found = told(cli, since, "type=volume")
    assert {event["Actor"]["ID"] for event in found} == {volume}
    actions = list(dict.fromkeys(event["Action"] for event in found))  # Docker tells of the creation twice
    assert actions == ["create", "mount", "unmount", "destroy"]
    mounted = next(event["Actor"]["Attributes"] for event in found if event["Action"] == "mount")
    assert mounted == {
        "container": container,
        "destination": "/data",
        "driver": "local",
        "propagation": "",
        "read/write": "false",
    }
    unmounted = next(event["Actor"]["Attributes"] for event in found if event["Action"] == "unmount")
    assert unmounted == {"container": container, "driver": "local"}
    assert "status" not in found[0]


def test_events_of_acts_on_a_container(cli: Cli) -> None:
    name, since = cli.up(), repr(time.time())
    cli.ok("exec", name, "echo", "a", "b")
    cli.ok("kill", "-s", "CONT", name)
    cli.ok("stop", "-t", "0", name)
    found = {event["Action"]: event["Actor"]["Attributes"] for event in told(cli, since, f"container={name}")}
    commands = {action.strip() for action in found if ":" in action}
    assert commands == {"exec_create: echo a b", "exec_start: echo a b"}
    assert found["exec_die"]["exitCode"] == "0"
    assert found["kill"]["signal"] == "9"
    assert {"die", "stop"} <= found.keys()
