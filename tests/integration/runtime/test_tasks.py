"""Tasks on real shims and real OCI runtimes: the built-in shim, and Debian's over the older task API."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from pycontainerd.api.runtime.task.v3 import task_pb2
from pycontainerd.core.bundle import Bootstrap, bundle_of
from pycontainerd.core.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PycontainerdError,
    Unimplemented,
    Unknown,
)
from pycontainerd.core.tasks import Attachment, CreateTask, Status, Stdio
from pycontainerd.core.values import AnyValue, Mount
from pycontainerd.linux import mountinfo
from pycontainerd.runtime import bundle as bundles
from tests.integration.runtime.harness import DEBIAN_SHIM, SPEC, Host, decode, process_spec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.root, pytest.mark.asyncio]

BUILTIN = "io.containerd.runc.v2"


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


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 1", 1), ("exit 200", 200), ("kill -9 $$", 137), ("kill -15 $$", 143)]
)
async def test_exit_codes_and_the_order_of_events(host: Host, runtime: str, script: str, status: int) -> None:
    # A namespace's init ignores signals it sends to itself, so the shell is not the init.
    request = host.add("c1", ["/bin/sh", "-c", f"sh -c '{script}'; exit $?"], runtime=runtime)
    pid = await host.tasks.create(host.namespace, request)
    created = await host.tasks.get(host.namespace, "c1")
    assert (created.status, created.pid, created.exited_at) == (Status.CREATED, pid, None)
    early = asyncio.create_task(host.tasks.wait(host.namespace, "c1"))
    assert await host.tasks.start(host.namespace, "c1") == pid
    ended = await early
    assert (ended.status, ended.pid) == (status, pid)
    await host.until("/tasks/exit", "c1")
    stopped = await host.tasks.get(host.namespace, "c1")
    assert (stopped.status, stopped.exit_status) == (Status.STOPPED, status)
    late = await asyncio.gather(*(host.tasks.wait(host.namespace, "c1") for _ in range(5)))
    assert late == [ended] * 5
    deleted = await host.tasks.delete(host.namespace, "c1")
    assert (deleted.status, deleted.pid, deleted.at) == (status, pid, ended.at)
    await host.until("/tasks/delete", "c1")
    assert host.topics("c1") == ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]
    (exit_event,) = [decode(event) for event in host.events if event.topic == "/tasks/exit"]
    assert (exit_event.id, exit_event.pid, exit_event.exit_status) == ("c1", pid, status)


async def test_everything_about_an_unknown_task_is_not_found(host: Host) -> None:
    tasks, ns = host.tasks, host.namespace
    host.add("recorded", ["/bin/true"])
    for name in ("unknown", "recorded"):
        for call in (
            tasks.start(ns, name),
            tasks.delete(ns, name),
            tasks.delete_process(ns, name, "e"),
            tasks.get(ns, name),
            tasks.kill(ns, name, "", 9, all=False),
            tasks.exec(ns, name, "e", Stdio(), process_spec(["/bin/true"])),
            tasks.resize_pty(ns, name, "", 1, 1),
            tasks.close_io(ns, name, "", stdin=True),
            tasks.pause(ns, name),
            tasks.resume(ns, name),
            tasks.pids(ns, name),
            tasks.checkpoint(ns, name, "", None),
            tasks.update(ns, name, None, {}),
            tasks.wait(ns, name),
            tasks.attach(ns, name, "", Attachment()),
            tasks.detach(ns, name, "", "a"),
        ):
            with pytest.raises(NotFound, match=name):
                await call
    with pytest.raises(NotFound):
        await tasks.create(ns, CreateTask("unknown"))
    assert await tasks.list(ns) == []
    assert await tasks.metrics(ns, ["id==unknown"]) == []
    with pytest.raises(Unknown):
        await tasks.metrics(ns, ["id==="])


async def test_states_that_do_not_allow_it(host: Host, runtime: str) -> None:
    tasks, ns = host.tasks, host.namespace
    request = host.add("c1", ["/bin/sleep", "60"], runtime=runtime)
    await host.run(request)
    with pytest.raises(AlreadyExists):
        await tasks.create(ns, request)
    with pytest.raises(Unknown):
        await tasks.delete(ns, "c1")
    with pytest.raises(Unknown):
        await tasks.start(ns, "c1")
    with pytest.raises(NotFound):
        await tasks.get(ns, "c1", "no-such-exec")
    with pytest.raises(NotFound):
        await tasks.wait(ns, "c1", "no-such-exec")
    with pytest.raises(NotFound):
        await tasks.kill(ns, "c1", "no-such-exec", 9, all=False)
    with pytest.raises(NotFound):
        await tasks.delete_process(ns, "c1", "no-such-exec")
    for bad in ("", "a b", "../x"):
        with pytest.raises(InvalidArgument):
            await tasks.exec(ns, "c1", bad, Stdio(), process_spec(["/bin/true"]))
    await tasks.resize_pty(ns, "c1", "", 80, 24)  # no terminal: no effect
    await tasks.kill(ns, "c1", "", signal.SIGKILL, all=False)
    assert (await tasks.wait(ns, "c1")).status == 137
    with pytest.raises(NotFound):
        await tasks.kill(ns, "c1", "", signal.SIGKILL, all=False)
    with pytest.raises(Unknown):
        await tasks.exec(ns, "c1", "late", Stdio(), process_spec(["/bin/true"]))
    await tasks.delete(ns, "c1")
    with pytest.raises(NotFound):
        await tasks.delete(ns, "c1")


async def test_a_created_task_can_be_deleted(host: Host, runtime: str) -> None:
    await host.tasks.create(host.namespace, host.add("c1", ["/bin/true"], runtime=runtime))
    waiter = asyncio.create_task(host.tasks.wait(host.namespace, "c1"))
    await asyncio.sleep(0.05)
    assert (await host.tasks.delete(host.namespace, "c1")).status == 0
    async with asyncio.timeout(5):
        assert (await waiter).status in {0, 137}
    await host.tasks.create(host.namespace, host.add("c1", ["/bin/true"], runtime=runtime))  # the id is free again
    await host.tasks.delete(host.namespace, "c1")


async def test_execs(host: Host, runtime: str) -> None:
    tasks, ns = host.tasks, host.namespace
    await host.run(host.add("c1", ["/bin/sleep", "60"], runtime=runtime))
    await tasks.exec(ns, "c1", "e1", Stdio(), process_spec(["/bin/sh", "-c", "exit 5"]))
    with pytest.raises(AlreadyExists):
        await tasks.exec(ns, "c1", "e1", Stdio(), process_spec(["/bin/true"]))
    with pytest.raises(FailedPrecondition):
        await tasks.kill(ns, "c1", "e1", 9, all=False)
    early = asyncio.create_task(tasks.wait(ns, "c1", "e1"))
    pid = await tasks.start(ns, "c1", "e1")
    assert pid > 0
    assert (await early).status == 5
    state = await tasks.get(ns, "c1", "e1")
    assert (state.exec_id, state.status, state.exit_status) == ("e1", Status.STOPPED, 5)
    ended = await tasks.delete_process(ns, "c1", "e1")
    assert (ended.status, ended.pid, ended.id) == (5, pid, "e1")
    with pytest.raises(NotFound):
        await tasks.delete_process(ns, "c1", "e1")
    # The id may be used again, and the second exit is told as well.
    await tasks.exec(ns, "c1", "e1", Stdio(), process_spec(["/bin/sh", "-c", "exit 6"]))
    await tasks.start(ns, "c1", "e1")
    assert (await tasks.wait(ns, "c1", "e1")).status == 6
    await host.until("/tasks/exit", "c1", 2)
    await tasks.delete_process(ns, "c1", "e1")
    exits = [decode(event) for event in host.events if event.topic == "/tasks/exit"]
    assert [(item.id, item.exit_status) for item in exits] == [("e1", 5), ("e1", 6)]


async def test_pause_pids_metrics_and_list(host: Host, runtime: str) -> None:
    tasks, ns = host.tasks, host.namespace
    pid = await host.run(host.add("c1", ["/bin/sleep", "60"], runtime=runtime))
    await tasks.create(ns, host.add("c2", ["/bin/true"], runtime=runtime))
    assert [(task.container_id, task.status) for task in await tasks.list(ns)] == [
        ("c1", Status.RUNNING),
        ("c2", Status.CREATED),
    ]
    assert await tasks.list("elsewhere") == []
    assert pid in [process for process, _ in await tasks.pids(ns, "c1")]
    await tasks.pause(ns, "c1")
    assert (await tasks.get(ns, "c1")).status == Status.PAUSED
    await tasks.resume(ns, "c1")
    assert (await tasks.get(ns, "c1")).status == Status.RUNNING
    (metric,) = await tasks.metrics(ns, ["id==c1"])
    assert metric.id == "c1"
    assert metric.data.type_url in {"io.containerd.cgroups.v1.Metrics", "io.containerd.cgroups.v2.Metrics"}
    await tasks.delete(ns, "c2")


async def test_output_and_input_go_through_fifos(host: Host, runtime: str, tmp_path: object) -> None:
    directory = str(tmp_path)
    for name in ("in", "out", "err"):
        os.mkfifo(f"{directory}/{name}")
    reader = os.open(f"{directory}/out", os.O_RDWR | os.O_NONBLOCK)
    errors = os.open(f"{directory}/err", os.O_RDWR | os.O_NONBLOCK)
    writer = os.open(f"{directory}/in", os.O_RDWR)
    try:
        request = host.add("c1", ["/bin/cat"], runtime=runtime)
        request = CreateTask("c1", stdio=Stdio(f"{directory}/in", f"{directory}/out", f"{directory}/err"))
        await host.run(request)
        os.write(writer, b"hello\n")
        os.close(writer)
        writer = -1
        await host.tasks.close_io(host.namespace, "c1", "", stdin=True)
        assert (await host.tasks.wait(host.namespace, "c1")).status == 0
        await host.tasks.delete(host.namespace, "c1")
        assert os.read(reader, 100) == b"hello\n"
    finally:
        os.close(reader)
        os.close(errors)
        if writer >= 0:
            os.close(writer)


async def test_a_create_that_fails_in_the_shim_leaves_nothing(host: Host, runtime: str, tmp_path: object) -> None:
    host.add("c1", ["/bin/true"], runtime=runtime)
    with pytest.raises(PycontainerdError, match=r"^failed to create shim task: "):
        await host.tasks.create(host.namespace, CreateTask("c1", stdio=Stdio("", f"{tmp_path}/no/such", "")))
    await host.settled()
    assert host.leftovers() == []


async def test_a_container_that_cannot_start_says_why_and_leaves_nothing(host: Host, runtime: str) -> None:
    tasks, ns = host.tasks, host.namespace
    with pytest.raises(PycontainerdError, match="no-such-program"):
        await host.run(host.add("c1", ["/bin/no-such-program"], runtime=runtime))
    if tasks.table.find(ns, "c1") is not None:  # crun notices at create, others may at start
        await tasks.delete(ns, "c1")
    assert host.leftovers() == []


async def test_a_runtime_that_does_not_exist_is_an_unmapped_error(host: Host) -> None:
    for runtime in ("io.containerd.nowhere.v7", "/nowhere/shim", "nonsense", "a/b.c"):
        with pytest.raises(Unknown):
            await host.tasks.create(host.namespace, host.add("c1", ["/bin/true"], runtime=runtime))
    host.add("c1", ["/bin/true"])
    with pytest.raises(Unknown):
        await host.tasks.create(host.namespace, CreateTask("c1", runtime_path="/nowhere/shim"))
    with pytest.raises(Unknown, match="some"):
        await host.tasks.create(host.namespace, CreateTask("c1", options=AnyValue("some.other.Options", b"")))
    assert host.leftovers() == []


async def test_attach_is_not_offered_by_other_peoples_shims(host: Host) -> None:
    await host.run(host.add("c1", ["/bin/sleep", "60"], runtime=DEBIAN_SHIM))
    with pytest.raises(Unimplemented, match="c1"):
        await host.tasks.attach(host.namespace, "c1", "", Attachment())


async def test_a_group_shares_a_shim(host: Host, runtime: str) -> None:
    tasks, ns = host.tasks, host.namespace
    group = {"io.containerd.runc.v2.group": "pod"}
    for name in ("c1", "c2", "c3"):
        await host.run(host.add(name, ["/bin/sleep", "60"], runtime=runtime, annotations=group))
    assert len(host.engine.shims) == 1 if host.engine else False
    for name in ("c2", "c1", "c3"):
        await tasks.kill(ns, name, "", signal.SIGKILL, all=False)
        assert (await tasks.wait(ns, name)).status == 137
        await tasks.delete(ns, name)
    await host.run(host.add("c4", ["/bin/sleep", "60"], runtime=runtime, annotations=group))
    assert (await tasks.get(ns, "c4")).status == Status.RUNNING


async def test_a_client_that_goes_away_during_create_leaves_no_task(host: Host, runtime: str) -> None:
    request = host.add("c1", ["/bin/true"], runtime=runtime)
    for delay in (0.0, 0.002, 0.005, 0.009):
        creating = asyncio.create_task(host.tasks.create(host.namespace, request))
        await asyncio.sleep(delay)
        if not creating.cancel():
            await host.tasks.delete(host.namespace, "c1")
            continue
        with pytest.raises(asyncio.CancelledError):
            await creating
        await host.settled()
        assert len(host.tasks.table) == 0
    assert host.leftovers() == []


async def test_a_client_that_goes_away_before_a_failure_leaves_no_noise(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    await host.run(host.add("c1", ["/bin/sleep", "60"]))
    await host.tasks.exec(host.namespace, "c1", "e", Stdio(), process_spec(["/nonexistent"]))
    starting = asyncio.create_task(host.tasks.start(host.namespace, "c1", "e"))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    del starting
    await host.settled()
    gc.collect()  # a failure that nobody looked at is told of when it is collected
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


async def test_the_shim_mounts_the_root_and_takes_it_off_again(host: Host, runtime: str) -> None:
    host.add("c1", ["/bin/sleep", "60"], runtime=runtime, root={"path": "rootfs", "readonly": True})
    mounts = [Mount("bind", host.rootfs, options=("rbind", "ro"))]
    await host.run(CreateTask("c1", rootfs=mounts))
    bundle = host.tasks.table.get(host.namespace, "c1").bundle
    assert mountinfo.below(host.state) == [bundle.rootfs]
    await host.tasks.kill(host.namespace, "c1", "", signal.SIGKILL, all=False)
    await host.tasks.wait(host.namespace, "c1")
    await host.tasks.delete(host.namespace, "c1")
    assert mountinfo.below(host.state) == []
    assert os.path.exists(f"{host.rootfs}/bin/busybox")  # noqa: ASYNC240


async def test_mounts_that_fail_are_an_error_and_leave_nothing(host: Host, runtime: str) -> None:
    host.add("c1", ["/bin/true"], runtime=runtime, root={"path": "rootfs"})
    for mount in (Mount("bind", "/no/such/source", options=("rbind",)), Mount("nosuchfs", "none")):
        with pytest.raises(PycontainerdError, match="mount"):
            await host.tasks.create(host.namespace, CreateTask("c1", rootfs=[mount]))
        await host.settled()
    assert host.leftovers() == []


async def test_a_stale_bundle_is_no_obstacle(host: Host) -> None:
    request = host.add("c1", ["/bin/sleep", "60"])
    stale = bundle_of(host.state, host.root, host.namespace, "c1")
    bundles.create(stale, b"{}")
    bundles.save_bootstrap(stale, Bootstrap("unix:///nowhere", 3), "/no/longer/there")
    await host.run(request)
    assert (await host.tasks.get(host.namespace, "c1")).status == Status.RUNNING


async def test_joining_a_shim_by_its_address(host: Host) -> None:
    tasks, ns = host.tasks, host.namespace
    await host.run(host.add("c1", ["/bin/sleep", "60"]))
    address = tasks.table.get(ns, "c1").shim.bootstrap.address
    host.add("c2", ["/bin/sleep", "60"])
    await host.run(CreateTask("c2", task_api_address=f"ttrpc+{address}", task_api_version=3))
    assert tasks.table.get(ns, "c2").shim is tasks.table.get(ns, "c1").shim
    host.add("c3", ["/bin/sleep", "60"])
    with pytest.raises(InvalidArgument, match="ttrpc"):
        await tasks.create(ns, CreateTask("c3", task_api_address=address))
    with pytest.raises(Unknown, match="nowhere"):
        await tasks.create(ns, CreateTask("c3", task_api_address="ttrpc+unix:///nowhere"))
    for name in ("c1", "c2"):
        await tasks.kill(ns, name, "", signal.SIGKILL, all=False)
        await tasks.wait(ns, name)
        await tasks.delete(ns, name)
    await host.rested()
    assert host.leftovers() == []


async def test_a_task_that_its_shim_has_lost_does_not_haunt_the_table(host: Host, runtime: str) -> None:
    tasks, ns = host.tasks, host.namespace
    await tasks.create(ns, host.add("c1", ["/bin/true"], runtime=runtime))
    waiter = asyncio.create_task(tasks.wait(ns, "c1"))
    await asyncio.sleep(0.02)
    shim = tasks.table.get(ns, "c1").shim
    await shim.call("Delete", task_pb2.DeleteRequest(id="c1"), task_pb2.DeleteResponse)
    with pytest.raises(NotFound):
        await tasks.delete(ns, "c1")
    await waiter
    await host.settled()
    assert host.leftovers() == []
    await tasks.create(ns, host.add("c1", ["/bin/true"], runtime=runtime))


async def test_specs_that_are_none_are_refused(host: Host) -> None:
    request = host.add("c1", ["/bin/true"])
    record = host.containers.records[host.namespace, "c1"]
    for spec in (None, AnyValue(SPEC, b"nonsense"), AnyValue(SPEC, b"[]")):
        host.containers.records[host.namespace, "c1"] = replace(record, spec=spec)
        with pytest.raises(InvalidArgument, match="spec"):
            await host.tasks.create(host.namespace, request)
    assert host.leftovers() == []
