"""When a shim ends by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shim.children import Children, Exit
from shim.container import Container
from shim.context import Defaults, Shim
from shim.events import Publisher
from shim.log import Log
from shim.loop import Loop
from shim.main import Life
from shim.process import Process
from shim.runtime import Runtime
from shim.server import Server
from shim.service import Service
from shim.sockets import listen
from shim.stdio.setup import Names

if TYPE_CHECKING:
    from pathlib import Path


class Stage:
    """A shim in this process, without a daemon or children."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        log = Log("error")
        self.loop = Loop(log)
        children = Children.__new__(Children)
        events = Publisher(self.loop, log, "", "ns")
        self.shim = Shim("ns", self.loop, children, events, log, Defaults("/bin/false", ""))
        self.server = Server(self.loop, Service(self.shim), listen(str(folder / "s")), log)
        self.life = Life(self.shim, self.server, str(folder / "s"))
        self.shim.shutdown = self.life.shutdown

    def hold(self) -> Container:
        (self.folder / "bundle").mkdir()
        runtime = Runtime(self.shim.children, "/bin/false", "/", systemd_cgroup=False)
        process = Process("", Names("", "", "", terminal=False))
        container = Container(self.shim, "one", str(self.folder / "bundle"), runtime, process)
        self.shim.containers["one"] = container
        return container

    def ended(self) -> bool:
        return not (self.folder / "s").exists()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_an_empty_shim_without_a_peer_ends(stage: Stage) -> None:
    stage.life.check()
    assert stage.ended()


def test_a_shim_with_a_container_stays(stage: Stage) -> None:
    container = stage.hold()
    stage.life.check()
    stage.life.shutdown()
    stage.life.terminate()
    container.init.finish(Exit(1, 0, (0, 0)))
    stage.life.check()
    assert not stage.ended()


def test_a_shim_whose_bundle_was_cleaned_up_ends(stage: Stage) -> None:
    container = stage.hold()
    (stage.folder / "bundle").rmdir()
    stage.life.check()
    assert not stage.ended()
    container.init.finish(Exit(1, 0, (0, 0)))
    stage.life.check()
    assert stage.ended()


def test_a_socket_that_is_another_shims_by_now_is_left_alone(stage: Stage) -> None:
    (stage.folder / "s").unlink()
    (stage.folder / "s").write_text("another")
    stage.life.shutdown()
    assert not stage.ended()
