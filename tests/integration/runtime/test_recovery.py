"""Shims, templates and daemons that die, and what is true afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from pycontainerd.core.bundle import Bundle
from pycontainerd.core.errors import NotFound, PycontainerdError
from pycontainerd.core.tasks import CreateTask, Status, Stdio
from pycontainerd.core.values import Mount
from pycontainerd.linux import process
from tests.integration.runtime.harness import DEBIAN_SHIM, Host, decode, make_spec, process_spec, runs, shim_pid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.root, pytest.mark.asyncio]

BUILTIN = "io.containerd.runc.v2"
SLEEP = ["/bin/sleep", "60"]


@pytest.fixture(params=[BUILTIN, DEBIAN_SHIM], ids=["builtin", "debian"])
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest_asyncio.fixture
async def host() -> AsyncIterator[Host]:
    host = Host()
    try:
        await host.start()
        yield host
    finally:
        await host.clean()


async def _kill_shim(host: Host, id: str) -> None:
    os.kill(await shim_pid(host, id), signal.SIGKILL)


def _stop(pid: int) -> None:
    """SIGSTOP, until every thread has stopped: the signal returns before."""
    os.kill(pid, signal.SIGSTOP)
    while not all(path.read_text().rpartition(")")[2].split()[0] == "T" for path in _stats(pid)):
        time.sleep(0.005)


def _stats(pid: int) -> list[Path]:
    return [task / "stat" for task in Path(f"/proc/{pid}/task").iterdir()]


def _exits(host: Host, id: str) -> list[tuple[str, int]]:
    found = [decode(event) for event in host.events if event.topic == "/tasks/exit"]
    return [(item.id, item.exit_status) for item in found if item.container_id == id]


async def test_a_killed_shim_takes_its_container_along_and_nothing_leaks(host: Host, runtime: str) -> None:
    pid = await host.run(host.add("c1", SLEEP, runtime=runtime))
    waiting = asyncio.create_task(host.tasks.wait(host.namespace, "c1"))
    await asyncio.sleep(0.05)
    await _kill_shim(host, "c1")
    async with asyncio.timeout(10):
        ended = await waiting
    assert (ended.status, ended.pid) == (137, pid)
    await host.until("/tasks/delete", "c1")
    assert _exits(host, "c1") == [("c1", 137)]
    assert host.topics("c1")[-2:] == ["/tasks/exit", "/tasks/delete"]
    with pytest.raises(NotFound):
        await host.tasks.get(host.namespace, "c1")
    assert not runs(pid)
    await host.settled()
    assert host.leftovers() == []
    await host.run(host.add("c1", SLEEP, runtime=runtime))  # the id is free


async def test_a_shim_killed_after_its_container_ended_changes_nothing_of_how_it_ended(
    host: Host, runtime: str
) -> None:
    await host.run(host.add("c1", ["/bin/sh", "-c", "exit 9"], runtime=runtime))
    assert (await host.tasks.wait(host.namespace, "c1")).status == 9
    await host.until("/tasks/exit", "c1")
    await _kill_shim(host, "c1")
    await host.until("/tasks/delete", "c1")
    assert _exits(host, "c1") == [("c1", 9)]
    await host.settled()
    assert host.leftovers() == []


async def test_a_killed_shims_mounts_are_taken_off(host: Host, runtime: str) -> None:
    host.add("c1", SLEEP, runtime=runtime, root={"path": "rootfs", "readonly": True})
    await host.run(CreateTask("c1", rootfs=[Mount("bind", host.rootfs, options=("rbind", "ro"))]))
    await _kill_shim(host, "c1")
    await host.until("/tasks/delete", "c1")
    await host.settled()
    assert host.leftovers() == []
    assert os.listdir(f"{host.rootfs}/bin")


async def test_calls_in_flight_when_a_shim_dies_find_no_task(host: Host, runtime: str) -> None:
    await host.run(host.add("c1", SLEEP, runtime=runtime))
    pid = await shim_pid(host, "c1")
    await asyncio.to_thread(_stop, pid)
    calls = [asyncio.create_task(host.tasks.get(host.namespace, "c1")) for _ in range(3)]
    deleting = asyncio.create_task(host.tasks.delete(host.namespace, "c1"))
    await asyncio.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    for call in [*calls, deleting]:
        with pytest.raises(NotFound):
            await call
    await host.until("/tasks/delete", "c1")


async def test_a_group_whose_shim_dies_is_buried_whole(host: Host, runtime: str) -> None:
    group = {"io.containerd.runc.v2.group": "pod"}
    for name in ("c1", "c2"):
        await host.run(host.add(name, SLEEP, runtime=runtime, annotations=group))
    await _kill_shim(host, "c2")
    for name in ("c1", "c2"):
        await host.until("/tasks/delete", name)
        assert _exits(host, name) == [(name, 137)]
    await host.settled()
    assert host.leftovers() == []


async def test_containers_live_through_a_restart(host: Host, runtime: str) -> None:
    tasks_before = host.tasks
    pid = await host.run(host.add("c1", SLEEP, runtime=runtime))
    await host.stop()
    recovered = await host.start()
    assert (recovered.adopted, recovered.buried, recovered.leaked, recovered.failed) == (1, 0, 0, 0)
    assert host.tasks is not tasks_before
    state = await host.tasks.get(host.namespace, "c1")
    assert (state.status, state.pid) == (Status.RUNNING, pid)
    await host.tasks.exec(host.namespace, "c1", "e1", Stdio(), process_spec(["/bin/sh", "-c", "exit 4"]))
    await host.tasks.start(host.namespace, "c1", "e1")
    assert (await host.tasks.wait(host.namespace, "c1", "e1")).status == 4
    await host.tasks.delete_process(host.namespace, "c1", "e1")
    await host.tasks.kill(host.namespace, "c1", "", signal.SIGTERM, all=False)
    await host.tasks.kill(host.namespace, "c1", "", signal.SIGKILL, all=False)
    assert (await host.tasks.wait(host.namespace, "c1")).status == 137
    assert (await host.tasks.delete(host.namespace, "c1")).status == 137


async def test_a_created_task_of_a_container_that_is_no_more_is_given_up(host: Host, runtime: str) -> None:
    for name in ("created", "orphan", "running"):
        request = host.add(name, SLEEP, runtime=runtime)
        await (host.run(request) if name == "running" else host.tasks.create(host.namespace, request))
    await host.stop()
    for name in ("orphan", "running"):
        del host.containers.records[host.namespace, name]

    await host.start()

    await host.until("/tasks/delete", "orphan")
    await host.rested()
    assert {task.id for task in host.tasks.table} == {"created", "running"}
    for name in ("created", "running"):
        with contextlib.suppress(PycontainerdError):
            await host.tasks.kill(host.namespace, name, "", signal.SIGKILL, all=False)
        await host.tasks.wait(host.namespace, name)
        await host.tasks.delete(host.namespace, name)
    await host.settled()
    assert host.leftovers() == []


async def test_what_ended_meanwhile_is_told_once(host: Host, runtime: str, tmp_path: object) -> None:
    go = f"{tmp_path}/go"
    os.mkfifo(go)
    shared = {"destination": "/tmp", "type": "bind", "source": str(tmp_path), "options": ["rbind", "rw"]}
    mounts = [*make_spec("", "", [])["mounts"], shared]
    await host.run(host.add("c1", ["/bin/sh", "-c", "read x < /tmp/go; exit 11"], runtime=runtime, mounts=mounts))
    await host.stop()
    with open(go, "w", encoding="utf-8") as file:  # noqa: ASYNC230 - the reader is there
        file.write("now\n")
    await asyncio.sleep(0.3)
    await host.start(announce=False)
    state = await host.tasks.get(host.namespace, "c1")
    assert (state.status, state.exit_status) == (Status.STOPPED, 11)
    assert host.engine is not None
    host.engine.announce()
    host.engine.announce()
    await host.until("/tasks/exit", "c1")
    await asyncio.sleep(2.5)  # the shim's own retries come in between
    assert _exits(host, "c1") == [("c1", 11)]
    await host.stop()
    await host.start()
    assert _exits(host, "c1") == [("c1", 11)]
    assert (await host.tasks.wait(host.namespace, "c1")).status == 11
    assert (await host.tasks.delete(host.namespace, "c1")).status == 11


async def test_what_was_told_is_not_told_again_when_the_container_runs_anew(host: Host, tmp_path: object) -> None:
    go = f"{tmp_path}/go"
    os.mkfifo(go)
    shared = {"destination": "/tmp", "type": "bind", "source": str(tmp_path), "options": ["rbind", "rw"]}
    mounts = [*make_spec("", "", [])["mounts"], shared]
    await host.run(host.add("c1", ["/bin/sh", "-c", "read x < /tmp/go; exit 11"], mounts=mounts))
    await host.stop()
    with open(go, "w", encoding="utf-8") as file:  # noqa: ASYNC230 - the reader is there
        file.write("now\n")
    await asyncio.sleep(0.3)  # the shim finds nobody to tell, and will try again
    await host.start()
    await host.tasks.delete(host.namespace, "c1")
    pid = await host.run(host.add("c1", SLEEP))
    await asyncio.sleep(2.5)  # the former shim's retries come in between
    assert _exits(host, "c1") == [("c1", 11)]
    assert (await host.tasks.get(host.namespace, "c1")).pid == pid


async def test_a_shim_that_died_meanwhile_is_buried(host: Host, runtime: str) -> None:
    pid = await host.run(host.add("c1", SLEEP, runtime=runtime))
    shim = await shim_pid(host, "c1")
    await host.stop()
    os.kill(shim, signal.SIGKILL)
    recovered = await host.start()
    assert (recovered.adopted, recovered.buried) == (0, 1)
    await host.until("/tasks/delete", "c1")
    assert _exits(host, "c1") == [("c1", 137)]
    assert not runs(pid)
    with pytest.raises(NotFound):
        await host.tasks.get(host.namespace, "c1")
    assert host.leftovers() == []


async def test_the_template_may_die_at_any_time(host: Host) -> None:
    assert host.engine is not None
    await host.run(host.add("c0", SLEEP))
    template = host.engine.template
    for n in range(3):
        creating = [asyncio.create_task(host.run(host.add(f"c{n}{m}", SLEEP))) for m in range(4)]
        await asyncio.sleep(0.004 * n)
        if template.pid:
            os.kill(template.pid, signal.SIGKILL)
        assert all(pid > 0 for pid in await asyncio.gather(*creating))
    assert (await host.tasks.get(host.namespace, "c0")).status == Status.RUNNING


POINTS = [
    "bundle.create.dir",
    "bundle.create.rename",
    "task.create.bundle",
    "template.request",
    "task.create.shim",
    "task.create.done",
    "task.start",
    "task.exit.forwarded",
    "task.delete.shim",
    "task.delete.released",
    "bundle.remove.rename",
    "bundle.remove.tree",
]

VICTIM = """
import asyncio, os, signal, sys
from tests.integration.runtime.harness import Host, shim_pid
async def main(base, namespace, runtime, script):
    host = Host(base, namespace)
    await host.start()
    if script == "recover":
        return
    request = host.add("c1", ["/bin/sh", "-c", script], runtime=runtime)
    await host.tasks.create(namespace, request)
    waiting = asyncio.create_task(host.tasks.wait(namespace, "c1"))
    await host.tasks.start(namespace, "c1")
    print("started", flush=True)
    if "sleep" in script:
        os.kill(await shim_pid(host, "c1"), signal.SIGKILL)
    await waiting
    await host.until("/tasks/exit", "c1")
    await host.tasks.delete(namespace, "c1")
    print("deleted", flush=True)
asyncio.run(main(*sys.argv[1:]))
"""


def _crash(host: Host, point: str, runtime: str, script: str) -> bytes:
    """Run a daemon in a process of its own that is killed at ``point``; what it printed. The record stays, as ever."""
    host.add("c1", ["/bin/sh", "-c", script], runtime=runtime)
    environment = {**os.environ, "PYCONTAINERD_FAILPOINTS": f"{point}=crash", "PYTHONPATH": os.getcwd()}
    argv = [sys.executable, "-c", VICTIM, host.base, host.namespace, runtime, script]
    result = process.run(argv, env=environment, timeout=30, merge=True)
    assert result.code == -signal.SIGKILL, result.stdout.decode()
    return result.stdout


@pytest.mark.parametrize(
    ("point", "runtime"),
    [*((point, BUILTIN) for point in POINTS), ("task.create.shim", DEBIAN_SHIM), ("task.delete.shim", DEBIAN_SHIM)],
)
async def test_a_daemon_killed_at_any_step_leaves_something_to_carry_on_with(point: str, runtime: str) -> None:
    host = Host()
    try:
        printed = await asyncio.to_thread(_crash, host, point, runtime, "exit 3")
        await host.start()
        task = host.tasks.table.find(host.namespace, "c1")
        if b"started" in printed and not point.startswith(("task.delete", "bundle.remove")):
            assert task is not None
        if task is not None:
            if (await host.tasks.get(host.namespace, "c1")).status == Status.CREATED:
                with contextlib.suppress(PycontainerdError):  # it may have been started before the crash
                    await host.tasks.start(host.namespace, "c1")
            async with asyncio.timeout(10):
                assert (await host.tasks.wait(host.namespace, "c1")).status == 3
            await host.until("/tasks/exit", "c1")
            assert _exits(host, "c1") == [("c1", 3)]
            assert (await host.tasks.delete(host.namespace, "c1")).status == 3
        await host.settled()
        assert host.leftovers() == []
        await host.run(host.add("c1", SLEEP, runtime=runtime))
    finally:
        await host.clean()


async def test_a_daemon_killed_while_it_buries_a_task_tells_of_it_later(runtime: str) -> None:
    host = Host()
    try:
        await asyncio.to_thread(_crash, host, "task.dead.cleaned", runtime, "sleep 60")
        await host.start()
        await host.until("/tasks/delete", "c1")
        assert _exits(host, "c1")[0][1] in {137, 255}
        assert len(_exits(host, "c1")) == 1
        assert host.leftovers() == []
    finally:
        await host.clean()


@pytest.mark.parametrize("point", ["recovery.bundle", "recovery.buried"])
async def test_a_daemon_killed_while_it_recovers_is_followed_by_one_that_does(host: Host, point: str) -> None:
    pid = await host.run(host.add("c1", SLEEP))
    await host.run(host.add("c2", SLEEP))
    await host.stop()
    if point == "recovery.buried":
        await host.start()
        shim = await shim_pid(host, "c2")
        await host.stop()
        os.kill(shim, signal.SIGKILL)
    await asyncio.to_thread(_crash, host, point, BUILTIN, "recover")
    await host.start()
    assert (await host.tasks.get(host.namespace, "c1")).pid == pid
    if point == "recovery.buried":
        await host.until("/tasks/delete", "c2")
        assert len(_exits(host, "c2")) == 1
        with pytest.raises(NotFound):
            await host.tasks.get(host.namespace, "c2")


async def test_shims_that_no_bundle_names_are_ended(host: Host) -> None:
    await host.run(host.add("c1", SLEEP))
    engine = host.engine
    assert engine is not None
    bundle = Bundle(f"{host.base}/none", host.namespace, "stray")
    os.mkdir(bundle.path)
    stray = await engine.shims.start_builtin(bundle, engine.shims.address_for(bundle, {}))
    await host.stop()
    os.rmdir(bundle.path)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{host.state}/s/dead")
    await host.start()
    await host.settled()
    assert os.path.basename(stray.bootstrap.path) not in os.listdir(f"{host.state}/s")
    assert len(os.listdir(f"{host.state}/s")) == 1
    assert (await host.tasks.get(host.namespace, "c1")).status == Status.RUNNING


async def test_bundles_that_make_no_sense_do_not_stop_the_start(host: Host) -> None:
    await host.run(host.add("good", SLEEP))
    base = os.path.dirname(host.tasks.table.get(host.namespace, "good").bundle.path)
    await host.stop()
    for name, files in {
        "nothing": {},
        "odd": {"bootstrap.json": "{", "shim-binary-path": "/nowhere/shim"},
        "gone": {"bootstrap.json": '{"version":3,"address":"unix:///nowhere","protocol":"ttrpc"}'},
        "vsock": {"bootstrap.json": '{"version":3,"address":"vsock://3:4","protocol":"ttrpc"}'},
        "old": {"address": "unix:///nowhere/either", "config.json": "{}"},
    }.items():
        os.mkdir(f"{base}/{name}")
        for file, text in files.items():
            with open(f"{base}/{name}/{file}", "w", encoding="utf-8") as out:  # noqa: ASYNC230
                out.write(text)
    recovered = await host.start()
    assert recovered.adopted == 1
    assert os.listdir(base) == ["good"]
