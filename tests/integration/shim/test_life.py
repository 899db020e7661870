"""The life of a task: states, codes, events, exit records, what is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pycontainerd.linux import mountinfo
from pycontainerd.wire.client import Client
from pycontainerd.wire.codes import (
    ALREADY_EXISTS,
    FAILED_PRECONDITION,
    INVALID_ARGUMENT,
    NOT_FOUND,
    UNIMPLEMENTED,
    UNKNOWN,
    RpcError,
)
from pycontainerd.wire.messages import google, task_v3, types, types_runc
from pycontainerd.wire.messages.cgroups_v1 import Metrics
from pycontainerd.wire.times import UNSET_SECONDS
from tests.integration.shim.harness import TASK, eventually, running

if TYPE_CHECKING:
    from tests.integration.shim.harness import Box, Host

pytestmark = pytest.mark.root

CREATED, RUNNING, STOPPED, PAUSED = 1, 2, 3, 4


def refused(code: int, act: object, *arguments: object, **named: object) -> str:
    """The message of the RpcError with this code that the call raises."""
    with pytest.raises(RpcError) as caught:
        act(*arguments, **named)  # type: ignore[operator]
    assert caught.value.code == code, caught.value
    return caught.value.message


def sleeper(host: Host, id: str = "one") -> Box:
    box = host.shim(id, ["/bin/sleep", "100"])
    box.create()
    box.start()
    return box


def test_a_whole_life(each_host: Host) -> None:
    box = each_host.shim("one", ["/bin/sh", "-c", "exit 3"])
    pid = box.create()
    state = box.state()
    assert (state.id, state.pid, state.status, state.bundle) == ("one", pid, CREATED, str(box.bundle))
    assert state.exited_at.seconds == UNSET_SECONDS
    assert box.start() == pid
    answer = box.wait()
    assert answer.exit_status == 3
    assert abs(answer.exited_at.seconds - time.time()) < 60
    state = box.state()
    assert (state.status, state.exit_status) == (STOPPED, 3)
    record = json.loads((box.bundle / "exits/init").read_text())
    assert record == {
        "pid": pid,
        "status": 3,
        "seconds": answer.exited_at.seconds,
        "nanos": answer.exited_at.nanos,
    }
    deleted = box.delete()
    assert (deleted.pid, deleted.exit_status) == (pid, 3)
    each_host.listener.wait("/tasks/delete")
    assert each_host.listener.topics() == ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]
    refused(NOT_FOUND, box.state)
    box.shutdown()
    eventually(lambda: not box.alive())
    assert not (each_host.base / "one.sock").exists()
    assert not list(each_host.base.glob("state/test/*"))


@pytest.mark.parametrize("status", [0, 1, 137])
def test_exit_codes(host: Host, status: int) -> None:
    box = host.shim("one", ["/bin/sh", "-c", f"exit {status}"])
    box.create()
    box.start()
    assert box.wait().exit_status == status


def test_a_signal_counts_128_more(each_host: Host) -> None:
    box = sleeper(each_host)
    box.kill(9)
    assert box.wait().exit_status == 137
    assert "finished" in refused(NOT_FOUND, box.kill, 15)


def test_wait_works_before_start_and_for_many(host: Host) -> None:
    from concurrent.futures import ThreadPoolExecutor

    box = host.shim("one", ["/bin/sh", "-c", "exit 5"])
    box.create()
    with ThreadPoolExecutor(8) as pool:
        waiters = [pool.submit(box.wait) for _ in range(8)]
        time.sleep(0.1)
        assert not any(waiter.done() for waiter in waiters)
        box.start()
        assert [waiter.result(10).exit_status for waiter in waiters] == [5] * 8
    assert box.wait().exit_status == 5


def test_a_created_task_can_be_deleted(each_host: Host) -> None:
    box = each_host.shim("one", ["/bin/sleep", "100"])
    pid = box.create()
    answer = box.delete()
    assert (answer.pid, answer.exit_status) == (pid, 0)
    eventually(lambda: not running(pid))
    each_host.listener.wait("/tasks/delete")


def test_wrong_states_and_names(host: Host) -> None:
    box = host.shim("one", ["/bin/sleep", "100"])
    refused(NOT_FOUND, box.state)
    refused(NOT_FOUND, box.start)
    refused(NOT_FOUND, box.wait)
    box.create()
    refused(ALREADY_EXISTS, box.create)
    refused(UNKNOWN, box.call, "Pause", task_v3.PauseRequest(id="one"))
    box.start()
    assert refused(UNKNOWN, box.start) == "cannot start a running process"
    assert refused(UNKNOWN, box.delete) == "cannot delete a running process"
    refused(UNKNOWN, box.call, "Resume", task_v3.ResumeRequest(id="one"))
    for verb in (box.state, box.start, box.wait, box.delete):
        refused(NOT_FOUND, verb, "nobody")
    refused(NOT_FOUND, box.kill, 9, "nobody")
    refused(INVALID_ARGUMENT, box.kill, 4000)
    refused(INVALID_ARGUMENT, box.exec, "", ["/bin/true"])
    refused(INVALID_ARGUMENT, box.exec, "../x", ["/bin/true"])
    refused(ALREADY_EXISTS, box.exec, "one", ["/bin/true"])
    box.kill(9)
    box.wait()
    assert "stopped" in refused(UNKNOWN, box.exec, "late", ["/bin/true"])
    refused(UNKNOWN, box.start)


def test_unknown_services_and_methods(host: Host) -> None:
    box = host.shim("one")
    request = task_v3.ConnectRequest(id="one")
    assert refused(UNIMPLEMENTED, box.call, "Fly", request) == "method Fly: not implemented"
    assert refused(UNIMPLEMENTED, box.call, "Connect", request, service="x.Y") == "service x.Y: not implemented"


def test_both_task_services_answer(host: Host) -> None:
    box = host.shim("one")
    for service in ("containerd.task.v2.Task", TASK):
        answer = box.call("Connect", task_v3.ConnectRequest(id="one"), task_v3.ConnectResponse, service=service)
        assert (answer.shim_pid, answer.task_pid) == (box.pid, 0)


def test_a_missing_program_is_one_clear_sentence(each_host: Host) -> None:
    box = each_host.shim("one", ["/bin/no-such-program"])

    def run() -> None:
        box.create()
        box.start()

    message = refused(UNKNOWN, run)
    assert message.startswith("OCI runtime ")
    assert "/bin/no-such-program" in message
    assert "no such file or directory" in message.lower()
    assert "\n" not in message


def test_a_failed_create_leaves_nothing(host: Host) -> None:
    box = host.shim("one")
    (box.bundle / "config.json").write_text("not json")
    mount = types.Mount(type="bind", source=str(host.rootfs), options=["rbind", "rw"])
    assert "config.json" in refused(INVALID_ARGUMENT, box.create, rootfs=[mount])
    assert not mountinfo.below(str(box.bundle))
    (box.bundle / "config.json").unlink()
    refused(NOT_FOUND, box.create, rootfs=[mount])
    assert not mountinfo.below(str(box.bundle))
    missing = types.Mount(type="bind", source=str(host.base / "nowhere"), options=["rbind"])
    assert "nowhere" in refused(NOT_FOUND, box.create, rootfs=[missing])
    box.shutdown()
    eventually(lambda: not box.alive())


def test_an_unknown_runtime_is_named(host: Host) -> None:
    box = host.shim("one")
    message = refused(UNKNOWN, box.create, options=types_runc.Options(binary_name="kata-ish"))
    assert "'kata-ish' is not installed" in message


def test_options_choose_runtime_and_root(host: Host) -> None:
    box = host.shim("one", ["/bin/sleep", "100"])
    root = host.base / "elsewhere"
    box.create(options=types_runc.Options(binary_name="runc", root=str(root), no_new_keyring=True))
    assert (root / "test" / "one").is_dir()
    assert (box.bundle / "runtime").read_text() == shutil.which("runc")
    box.start()
    box.kill(9)
    box.wait()
    box.delete()


def test_options_of_another_type_are_refused(host: Host) -> None:
    box = host.shim("one")
    request = task_v3.CreateTaskRequest(id="one", bundle=str(box.bundle), options=google.Any(type_url="a.B"))
    assert "a.B" in refused(UNKNOWN, box.alone, "Create", request, task_v3.CreateTaskResponse)


def test_rootfs_is_mounted_and_unmounted(each_host: Host) -> None:
    box = each_host.shim("one", ["/bin/sleep", "100"])
    document = json.loads((box.bundle / "config.json").read_text())
    document["root"]["path"] = "rootfs"
    (box.bundle / "config.json").write_text(json.dumps(document))
    lower, upper, work = (each_host.base / name for name in ("rootfs", "upper", "work"))
    upper.mkdir()
    work.mkdir()
    mount = types.Mount(
        type="overlay", source="overlay", options=[f"lowerdir={lower}", f"upperdir={upper}", f"workdir={work}"]
    )
    box.create(rootfs=[mount])
    box.start()
    assert mountinfo.below(str(box.bundle))
    box.kill(9)
    box.wait()
    box.delete()
    assert not mountinfo.below(str(box.bundle))


def test_pause_and_resume(each_host: Host) -> None:
    box = sleeper(each_host)
    box.call("Pause", task_v3.PauseRequest(id="one"))
    assert box.state().status == PAUSED
    refused(UNKNOWN, box.exec, "e", ["/bin/true"])
    box.call("Resume", task_v3.ResumeRequest(id="one"))
    assert box.state().status == RUNNING
    box.call("Pause", task_v3.PauseRequest(id="one"))
    box.kill(9)
    assert box.wait().exit_status == 137
    each_host.listener.wait("/tasks/exit")
    topics = each_host.listener.topics()
    assert topics[2:] == ["/tasks/paused", "/tasks/resumed", "/tasks/paused", "/tasks/exit"]


def test_pids_name_execs(host: Host) -> None:
    box = sleeper(host)
    box.exec("e", ["/bin/sleep", "50"])
    pid = box.start("e")
    answer = box.call("Pids", task_v3.PidsRequest(id="one"), task_v3.PidsResponse)
    found = {item.pid: item.info for item in answer.processes}
    assert set(found) == {box.state().pid, pid}
    assert types_runc.ProcessDetails.decode(found[pid].value).exec_id == "e"


def test_stats_are_those_of_this_host(host: Host) -> None:
    box = sleeper(host)
    answer = box.call("Stats", task_v3.StatsRequest(id="one"), task_v3.StatsResponse)
    if answer.stats.type_url != Metrics.TYPE:
        assert answer.stats.type_url == "io.containerd.cgroups.v2.Metrics"
        return
    metrics: Any = Metrics.decode(answer.stats.value)
    assert metrics.pids.current == 1
    assert metrics.memory.usage.usage > 0
    assert metrics.cpu.usage.total > 0
    assert metrics.memory_oom_control.oom_kill == 0


def test_update_changes_limits(host: Host) -> None:
    box = sleeper(host)
    value = json.dumps({"pids": {"limit": 77}}).encode()
    box.call("Update", task_v3.UpdateTaskRequest(id="one", resources=google.Any(value=value)))
    answer = box.call("Stats", task_v3.StatsRequest(id="one"), task_v3.StatsResponse)
    metrics: Any = Metrics.decode(answer.stats.value)
    assert metrics.pids.limit == 77
    refused(INVALID_ARGUMENT, box.call, "Update", task_v3.UpdateTaskRequest(id="one"))


def test_checkpoint_without_support_says_so(host: Host) -> None:
    box = sleeper(host)
    request = task_v3.CheckpointTaskRequest(id="one", path=str(host.base / "image"))
    with pytest.raises(RpcError) as caught:
        box.call("Checkpoint", request)
    assert caught.value.code in (UNIMPLEMENTED, UNKNOWN)
    assert box.state().status == RUNNING


def test_shutdown_does_nothing_while_a_container_is_there(host: Host) -> None:
    box = sleeper(host)
    box.shutdown()
    assert box.state().status == RUNNING
    os.kill(box.pid, 15)
    time.sleep(0.1)
    assert box.state().status == RUNNING


def test_events_wait_for_a_daemon_that_is_away(host: Host) -> None:
    host.listener.stop()
    box = host.shim("one", ["/bin/true"])
    box.create()
    box.start()
    box.wait()
    assert not host.listener.events
    host.listener.start()
    host.listener.wait("/tasks/exit")
    assert host.listener.topics() == ["/tasks/create", "/tasks/start", "/tasks/exit"]


def test_oom_is_told_before_the_exit(host: Host) -> None:
    box = host.shim("one", ["/bin/sh", "-c", "x=a; while true; do x=$x$x; done"])
    document = json.loads((box.bundle / "config.json").read_text())
    document["linux"]["resources"] = {"memory": {"limit": 16 << 20, "swap": 16 << 20}}
    (box.bundle / "config.json").write_text(json.dumps(document))
    box.create()
    box.start()
    assert box.wait().exit_status == 137
    host.listener.wait("/tasks/exit")
    assert host.listener.topics().index("/tasks/oom") < host.listener.topics().index("/tasks/exit")
    assert host.listener.topics().count("/tasks/oom") == 1


def test_init_is_the_last_to_be_told_gone(host: Host) -> None:
    box = sleeper(host)
    for name in ("a", "b"):
        box.exec(name, ["/bin/sleep", "50"])
        box.start(name)
    box.kill(9)
    box.wait()
    host.listener.wait("/tasks/exit", 3)
    ids = [event.id for topic, event in host.listener.events if topic == "/tasks/exit"]  # type: ignore[attr-defined]
    assert ids[2] == "one"
    assert sorted(ids[:2]) == ["a", "b"]
    assert (box.bundle / "exits/exec.a").exists()


def test_without_a_pid_namespace_the_rest_is_killed(each_host: Host) -> None:
    box = each_host.shim("one", ["/bin/sh", "-c", "sleep 77 & sleep 0.2; exit 4"])
    document = json.loads((box.bundle / "config.json").read_text())
    document["linux"]["namespaces"] = [n for n in document["linux"]["namespaces"] if n["type"] != "pid"]
    (box.bundle / "config.json").write_text(json.dumps(document))
    box.create()
    box.start()
    assert box.wait().exit_status == 4
    box.delete()
    eventually(lambda: not any(b"sleep\x0077" in line for line in _command_lines()))


def _command_lines() -> list[bytes]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes())
    return found


def test_kill_all_reaches_everyone(host: Host) -> None:
    box = sleeper(host)
    box.exec("e", ["/bin/sleep", "50"])
    box.start("e")
    box.kill(9, all=True)
    assert box.wait("e").exit_status == 137
    assert box.wait().exit_status == 137


def test_several_containers_in_one_shim(host: Host) -> None:
    box = sleeper(host)
    bundle = host.bundle("two", ["/bin/sh", "-c", "exit 9"])
    with Client(str(host.base / "one.sock"), namespace="test") as client:
        client.call(TASK, "Create", task_v3.CreateTaskRequest(id="two", bundle=str(bundle)), task_v3.CreateTaskResponse)
        client.call(TASK, "Start", task_v3.StartRequest(id="two"), task_v3.StartResponse)
        ended = client.call(TASK, "Wait", task_v3.WaitRequest(id="two"), task_v3.WaitResponse)
        assert ended.exit_status == 9
        client.call(TASK, "Delete", task_v3.DeleteRequest(id="two"), task_v3.DeleteResponse)
    assert box.state().status == RUNNING
    assert (bundle / "exits/init").exists()


def test_an_exec_after_the_end_of_init_is_a_failed_precondition(host: Host) -> None:
    box = sleeper(host)
    box.exec("e", ["/bin/true"])
    box.kill(9)
    box.wait()
    refused(FAILED_PRECONDITION, box.start, "e")


def test_spans_of_a_traced_life(host: Host) -> None:
    box = host.shim("one", ["/bin/echo", "hi"])
    box.traceparent = f"00-{'ab' * 16}-{'cd' * 8}-01"
    box.create(stdout=f"file://{host.base}/out")
    box.start()
    expected = {"shim create", "mount rootfs", "runtime create", "shim start", "runtime start", "first output"}
    eventually(lambda: expected <= {span.name for span in host.listener.spans})
    names = {span.name: span for span in host.listener.spans}
    assert {span.trace_id for span in host.listener.spans} == {"ab" * 16}
    assert names["shim create"].parent_id == "cd" * 8
    assert names["runtime create"].parent_id == names["shim create"].span_id
    assert all(span.end_unix_nano >= span.start_unix_nano > 0 for span in host.listener.spans)


def test_an_unsampled_trace_costs_nothing(host: Host) -> None:
    box = host.shim("one", ["/bin/true"])
    box.traceparent = f"00-{'ab' * 16}-{'cd' * 8}-00"
    box.create()
    box.start()
    box.wait()
    host.listener.wait("/tasks/exit")
    assert not host.listener.spans


@pytest.mark.parametrize("told_first", [True, False], ids=["then opened", "already open"])
def test_an_init_killed_while_it_is_being_started(host: Host, tmp_path: Path, told_first: bool) -> None:
    """The runtime finds init alive, and opens the FIFO at which init waits when nobody does any more."""
    looked, go, opening = tmp_path / "looked", tmp_path / "go", tmp_path / "opening"
    late = tmp_path / "late-crun"
    late.write_text(
        f"""#!/bin/sh
case " $* " in *" start "*) ;; *) exec crun "$@" ;; esac
touch {looked}
until [ -e {go} ]; do sleep 0.01; done
touch {opening}
echo >{host.base}/state/test/one/exec.fifo
"""
    )
    late.chmod(0o755)
    box = host.shim("one", ["/bin/sleep", "100"])
    pid = box.create(options=types_runc.Options(binary_name=str(late), root=str(host.base / "state")))
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(box.start)
        eventually(looked.exists)
        if told_first:
            box.kill()
            eventually(lambda: not running(pid))
            go.touch()
        else:
            os.kill(box.pid, signal.SIGSTOP)
            os.kill(pid, signal.SIGKILL)
            go.touch()
            eventually(opening.exists)
            os.kill(box.pid, signal.SIGCONT)
        assert starting.result(20) == pid
    assert box.wait().exit_status == 137
    assert box.delete().exit_status == 137
    host.listener.wait("/tasks/delete")
    assert host.listener.topics() == ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]
