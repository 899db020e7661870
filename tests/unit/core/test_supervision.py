"""What a container's record asks of the supervisor, and how its policy and volumes are changed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pycontainerd.core import mountentries, restart
from pycontainerd.core.containers import Container
from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.restart import Policy, parse
from pycontainerd.core.settings import EXTENSION, TYPE_URL
from pycontainerd.core.supervision import plan_of, settings_of, taking_volumes, with_policy
from pycontainerd.core.values import AnyValue


def ours(config: dict[str, Any] | None = None, **host: Any) -> Container:
    settings = {"Name": "web", "Config": config or {}, "HostConfig": host}
    return Container("c", runtime="r", extensions={EXTENSION: AnyValue(TYPE_URL, json.dumps(settings).encode())})


def labelled(**labels: str) -> Container:
    return Container("c", {restart.PREFIX + key.replace("_", "-"): value for key, value in labels.items()}, runtime="r")


def test_containers_of_others_are_left_alone() -> None:
    assert plan_of(Container("c", runtime="r")) is None
    assert plan_of(labelled(policy="always")) is None
    broken = Container("c", runtime="r", extensions={EXTENSION: AnyValue(TYPE_URL, b"{")})
    assert plan_of(broken) is None


def test_settings_make_a_plan() -> None:
    config = {"StopSignal": "SIGINT", "StopTimeout": 3, "Healthcheck": {"Test": ["CMD", "true"]}}
    plan = plan_of(ours(config, RestartPolicy={"Name": "on-failure", "MaximumRetryCount": 2}, AutoRemove=True))
    assert plan is not None
    assert plan.policy == Policy("on-failure", 2)
    assert plan.auto_remove
    assert plan.health is not None
    assert (plan.stop_number, plan.patience) == (2, 3.0)
    assert not plan.held_down


@pytest.mark.parametrize(
    "given", [None, {}, {"Name": ""}, {"Name": "often"}, {"Name": "always", "MaximumRetryCount": "x"}, 3]
)
def test_a_policy_that_makes_no_sense_is_none(given: Any) -> None:
    plan = plan_of(ours(RestartPolicy=given))
    assert plan is not None
    assert plan.policy == Policy()


@pytest.mark.parametrize(
    ("labels", "down"),
    [
        ({"status": "running"}, False),
        ({"status": "stopped"}, True),
        ({"status": "running", "policy": "unless-stopped", "explicitly_stopped": "true"}, True),
        ({"status": "running", "policy": "unless-stopped", "explicitly_stopped": "false"}, False),
        ({"status": "running", "policy": "always", "explicitly_stopped": "true"}, False),
    ],
)
def test_labels_make_a_plan(labels: dict[str, str], down: bool) -> None:
    plan = plan_of(labelled(**labels))
    assert plan is not None
    assert plan.by_labels
    assert plan.held_down is down


def test_a_policy_is_changed_where_it_is_kept() -> None:
    container, paths = with_policy(ours(Memory=7), parse("on-failure:4"))
    assert paths == (f"extensions.{EXTENSION}",)
    settings = settings_of(container)
    assert settings is not None
    assert settings["HostConfig"] == {"Memory": 7, "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 4}}
    container, paths = with_policy(labelled(status="running"), parse("always"))
    assert dict(container.labels) == {restart.POLICY_LABEL: "always", restart.STATUS_LABEL: "running"}
    assert set(paths) == {f"labels.{restart.POLICY_LABEL}", f"labels.{restart.STATUS_LABEL}"}
    container, _ = with_policy(labelled(status="running"), parse("no"))
    assert set(container.labels.values()) == {""}


def test_removal_and_a_policy_exclude_each_other() -> None:
    with pytest.raises(InvalidArgument, match="AutoRemove"):
        with_policy(ours(AutoRemove=True), parse("always"))
    with_policy(ours(AutoRemove=True), parse("no"))


def test_anonymous_volumes_can_be_told_to_go_along() -> None:
    entries = [{"type": "volume", "volume": "a", "anonymous": True}, {"type": "volume", "volume": "b"}]
    value = AnyValue(mountentries.TYPE_URL, json.dumps(entries).encode())
    container = Container("c", runtime="r", extensions={mountentries.EXTENSION: value})
    marked = taking_volumes(container)
    assert marked is not None
    assert [entry.get("remove") for entry in json.loads(marked.extensions[mountentries.EXTENSION].value)] == [
        True,
        None,
    ]
    assert taking_volumes(marked) is None
    assert taking_volumes(Container("c", runtime="r")) is None
