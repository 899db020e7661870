"""dockerd while our daemon dies and comes back: what it is told, and that it is told once."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import RunningDaemon
from tests.support.dockerd import EDITIONS, IMAGE, Docker, load_small_image, running_dockerd, until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]


@pytest.fixture(scope="module", params=EDITIONS)
def place(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[tuple[RunningDaemon, Docker]]:
    """Our daemon and dockerd on it, with the small image loaded."""
    edition = EDITIONS[request.param]
    if edition.missing:
        pytest.skip(edition.missing)
    directory = tmp_path_factory.mktemp("dockerd")
    with RunningDaemon() as daemon, running_dockerd(directory, daemon.address, edition) as docker:
        load_small_image(docker, directory)
        yield daemon, docker


@pytest.fixture
def names(place: tuple[RunningDaemon, Docker], request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Three container names, removed afterwards."""
    values = [f"{request.node.originalname}-{number}" for number in range(3)]
    yield values
    place[1]("rm", "-f", *values, check=False)


def inspect(docker: Docker, name: str) -> dict[str, object]:
    """Running, ExitCode, Pid and RestartCount."""
    document = json.loads(docker("inspect", name).stdout)[0]
    return {**document["State"], "RestartCount": document["RestartCount"]}


@pytest.mark.parametrize("away", [0.0, 4.0])
def test_who_ended_while_the_daemon_was_away(
    place: tuple[RunningDaemon, Docker], names: list[str], away: float
) -> None:
    daemon, docker = place
    lives, ends, returns = names
    docker("run", "-d", "--name", lives, IMAGE, "sleep", "1000")
    docker("run", "-d", "--name", ends, IMAGE, "sleep", "1000")
    docker("run", "-d", "--name", returns, "--restart", "unless-stopped", IMAGE, "sleep", "1000")
    daemon.kill()
    for name in (ends, returns):
        os.kill(int(str(inspect(docker, name)["Pid"])), 9)
    time.sleep(away)  # the longer, the later dockerd looks again
    daemon.start()
    until(lambda: inspect(docker, ends)["Running"] is False)
    assert inspect(docker, ends)["ExitCode"] == 137
    until(lambda: inspect(docker, returns)["RestartCount"] == 1)
    until(lambda: docker("exec", returns, "true", check=False).returncode == 0)
    time.sleep(2)  # shims repeat themselves
    assert docker("exec", returns, "echo", "still").stdout == "still\n"
    assert docker("exec", lives, "echo", "here").stdout == "here\n"
    assert (inspect(docker, returns)["RestartCount"], inspect(docker, lives)["RestartCount"]) == (1, 0)
    docker("stop", "-t", "0", returns)
    assert inspect(docker, returns)["Running"] is False
    docker("start", returns)
    assert docker("exec", returns, "echo", "again").stdout == "again\n"


def test_a_client_in_the_foreground_sees_all(place: tuple[RunningDaemon, Docker], names: list[str]) -> None:
    daemon, docker = place
    script = "for i in 1 2 3 4 5 6; do echo $i; sleep 0.5; done; exit 6"
    argv = docker.argv("run", "--rm", "--name", names[0], IMAGE, "sh", "-c", script)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "1\n"
        until(lambda: inspect(docker, names[0])["Running"] is True)  # output may be there before dockerd has its answer
        daemon.kill()
        daemon.start()
        rest = client.communicate(timeout=60)[0]
    assert (rest.split(), client.returncode) == (["2", "3", "4", "5", "6"], 6)
