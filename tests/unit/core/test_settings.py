"""What is kept of a container's making: names, restart policies, and what the image presets."""

from __future__ import annotations

import pytest

from pycontainerd.core import settings
from pycontainerd.core.errors import InvalidArgument


@pytest.mark.parametrize("name", ["web", "/web", "a1", "A_b.c-d", "x" * 255, "a__b", "web-"])
def test_names_that_docker_takes(name: str) -> None:
    assert settings.check_name(name) == name.removeprefix("/")


@pytest.mark.parametrize("name", ["", "a", "-web", "_x", "a b", "ä1", "a/b", 'a"b', "x" * 256])
def test_names_that_it_does_not(name: str) -> None:
    with pytest.raises(InvalidArgument):
        settings.check_name(name)


def test_labels_of_the_record_are_those_that_can_be_stored() -> None:
    kept = settings.labels_for_record("web", {"a": "1", "empty": "", "big": "x" * 5000})
    assert kept == {"a": "1", settings.NAME_LABEL: "web"}


def test_restart_policies() -> None:
    assert settings.parse_restart("on-failure:3") == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert settings.parse_restart("always")["Name"] == "always"
    for bad in ("", "sometimes", "always:3", "on-failure:x", "on-failure:-1"):
        with pytest.raises(InvalidArgument):
            settings.parse_restart(bad)


IMAGE = {"Entrypoint": ["/entry"], "Cmd": ["serve"], "Env": ["A=image", "B=image"], "User": "app", "WorkingDir": "/srv"}


def test_the_image_fills_what_was_not_said() -> None:
    merged = settings.merge_image({"Cmd": None, "Env": ["A=mine"]}, IMAGE)
    assert (merged["Entrypoint"], merged["Cmd"]) == (["/entry"], ["serve"])
    assert merged["Env"] == ["A=mine", "B=image"]
    assert (merged["User"], merged["WorkingDir"]) == ("app", "/srv")


def test_a_command_keeps_the_entrypoint_and_an_entrypoint_drops_the_command() -> None:
    assert settings.merge_image({"Cmd": ["x"]}, IMAGE)["Entrypoint"] == ["/entry"]
    assert settings.merge_image({"Cmd": ["x"]}, IMAGE)["Cmd"] == ["x"]
    replaced = settings.merge_image({"Entrypoint": ["sh"], "Cmd": None}, IMAGE)
    assert (replaced["Entrypoint"], replaced["Cmd"]) == (["sh"], None)
    removed = settings.merge_image({"Entrypoint": [""], "Cmd": None}, IMAGE)
    assert (removed["Entrypoint"], removed["Cmd"]) == (None, None)  # Docker: "No command specified"


def test_a_bare_name_removes_the_images_variable() -> None:
    assert settings.merge_environment(["A=1", "B=2"], ["A"]) == ["B=2"]


def test_streams_of_a_task() -> None:
    document = {"Config": {}, "HostConfig": {"LogConfig": {"Config": {"max-size": "1m"}}}, "LogPath": "/var/l g/x.log"}
    uri = "json-file:///var/l%20g/x.log?max-size=1048576&max-file=5&compress=true"
    assert settings.stdio(document, "id") == ("", uri, uri, False)
    document["Config"] = {"Tty": True, "OpenStdin": True}
    assert settings.stdio(document, "id") == ("attach:", uri, "", True)
    assert settings.stdio({"Config": {}, "HostConfig": {}}, "id") == ("", "none:", "none:", False)
