"""The standard protocol: the actions of the shim's program, by themselves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pycontainerd.linux.mount import unmount_all
from pycontainerd.wire.client import Client
from pycontainerd.wire.messages.bootstrap import BootstrapParams, BootstrapResult
from pycontainerd.wire.messages.google import Any, Empty
from pycontainerd.wire.messages.task_v3 import (
    ConnectRequest,
    ConnectResponse,
    CreateTaskRequest,
    CreateTaskResponse,
    DeleteResponse,
    ShutdownRequest,
    StartRequest,
    StartResponse,
)
from pycontainerd.wire.messages.types import RuntimeInfo
from pycontainerd.wire.messages.types_runc import Options
from tests.integration.shim.harness import ROOT, TASK, eventually, make_rootfs, running, spec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


pytestmark = pytest.mark.root
PROGRAM = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from shim.start import main; sys.exit(main())"


def own_template(base: Path) -> dict[str, str]:
    """The environment that gives a test a shared template of its own, gone two seconds after the last shim's start."""
    return {"PYCONTAINERD_TEMPLATE_DIR": str(base / "template"), "PYCONTAINERD_TEMPLATE_IDLE": "2"}


class Caller:
    """What a daemon is to the program: a directory of bundles and the command line."""

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="pc-shim-", dir="/tmp"))
        self.rootfs = self.base / "rootfs"
        make_rootfs(self.rootfs)
        self.pids: list[int] = []
        self.template = own_template(self.base)

    def bundle(self, id: str, arguments: Sequence[str] = ("/bin/sleep", "100"), group: str = "") -> Path:
        path = self.base / id
        path.mkdir()
        document = spec(arguments, self.rootfs, f"/pc-shim-{self.base.name}-{id}")
        if group:
            document["annotations"] = {"io.kubernetes.cri.sandbox-id": group}
        (path / "config.json").write_text(json.dumps(document))
        os.mkfifo(path / "log")
        return path

    def run(self, bundle: Path, action: str, *flags: str, stdin: bytes = b"", id: str = "") -> bytes:
        address = str(self.base / "d.sock")
        command = [sys.executable, "-IS", "-c", PROGRAM, "-namespace", "test", "-address", address]
        command += ["-publish-binary", "/bin/false", "-id", id or bundle.name, *flags, action]
        environment = {**os.environ, **self.template, "TTRPC_ADDRESS": ""}
        done = subprocess.run(
            command, cwd=bundle, input=stdin, capture_output=True, env=environment, timeout=20, check=False
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        return done.stdout

    def client(self, address: bytes) -> Client:
        client = Client(address.decode(), namespace="test")
        answer = client.call(TASK, "Connect", ConnectRequest(id="x"), ConnectResponse)
        self.pids.append(answer.shim_pid)
        return client


@pytest.fixture
def caller() -> Iterator[Caller]:
    made = Caller()
    yield made
    for pid in made.pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for path in made.base.iterdir():
        if (path / "init.pid").exists():
            made.run(path, "delete")
    unmount_all(str(made.base))
    shutil.rmtree(made.base)


def test_an_older_daemon_gets_the_bare_address(caller: Caller) -> None:
    bundle = caller.bundle("one")
    packed = Any(type_url=Options.TYPE, value=Options(binary_name="crun").encode()).encode()
    answer = caller.run(bundle, "start", stdin=packed)
    assert answer.startswith(b"unix:///run/containerd/s/")
    assert (bundle / "address").read_bytes() == answer
    client = caller.client(answer)
    client.call(TASK, "Shutdown", ShutdownRequest(id="one"), Empty)
    eventually(lambda: not running(caller.pids[0]))


def test_a_newer_daemon_gets_a_result_and_its_socket_directory(caller: Caller) -> None:
    bundle = caller.bundle("one")
    folder = caller.base / "s"
    params = BootstrapParams(instance_id="one", namespace="test", socket_dir=str(folder)).encode()
    result = BootstrapResult.decode(caller.run(bundle, "start", stdin=params))
    assert (result.version, result.protocol) == (3, "ttrpc")
    assert result.address.startswith(f"unix://{folder}/")
    assert (bundle / "s").resolve() == folder
    assert (os.stat(result.address.removeprefix("unix://")).st_mode & 0o777) == 0o600
    caller.client(result.address.encode())


def test_members_of_a_group_share_a_shim(caller: Caller) -> None:
    first = caller.run(caller.bundle("one", group="pod"), "start")
    second = caller.run(caller.bundle("two", group="pod"), "start")
    third = caller.run(caller.bundle("three"), "start")
    assert first == second != third
    for address in (first, third):
        caller.client(address)


def test_shims_come_from_one_template_and_cost_little(caller: Caller) -> None:
    for name in ("one", "two"):
        caller.client(caller.run(caller.bundle(name), "start"))
    names = {Path(f"/proc/{pid}/comm").read_text().strip() for pid in caller.pids}
    assert names == {"pycontainerd-sh"}
    for pid in caller.pids:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        shared = [int(line.split()[1]) for line in text.splitlines() if line.startswith("Shared_Dirty")]
        assert shared[0] > 1000


def test_delete_cleans_up_after_a_killed_shim(caller: Caller) -> None:
    bundle = caller.bundle("one")
    client = caller.client(caller.run(bundle, "start"))
    root = caller.base / "state"
    options = Options(root=str(root))
    packed = Any(type_url=options.TYPE, value=options.encode())
    request = CreateTaskRequest(id="one", bundle=str(bundle), options=packed)
    pid = client.call(TASK, "Create", request, CreateTaskResponse).pid
    client.call(TASK, "Start", StartRequest(id="one"), StartResponse)
    os.kill(caller.pids[0], signal.SIGKILL)
    answer = DeleteResponse.decode(caller.run(bundle, "delete", "-bundle", str(bundle)))
    assert (answer.pid, answer.exit_status) == (pid, 137)
    eventually(lambda: not running(pid))
    assert not list((root / "test").iterdir())


def test_delete_knows_how_a_container_ended_before_the_shim_did(caller: Caller) -> None:
    bundle = caller.bundle("one", ["/bin/sh", "-c", "exit 7"])
    client = caller.client(caller.run(bundle, "start"))
    request = CreateTaskRequest(id="one", bundle=str(bundle))
    client.call(TASK, "Create", request, CreateTaskResponse)
    client.call(TASK, "Start", StartRequest(id="one"), StartResponse)
    eventually(lambda: (bundle / "exits/init").exists())
    os.kill(caller.pids[0], signal.SIGKILL)
    assert DeleteResponse.decode(caller.run(bundle, "delete")).exit_status == 7


def test_delete_of_what_never_ran(caller: Caller) -> None:
    bundle = caller.bundle("one")
    answer = DeleteResponse.decode(caller.run(bundle, "delete"))
    assert (answer.pid, answer.exit_status) == (0xFFFFFFFF, 137)


def test_info_and_version(caller: Caller) -> None:
    packed = Any(type_url=Options.TYPE, value=Options(binary_name="runc").encode()).encode()
    command = [sys.executable, "-IS", "-c", PROGRAM]
    done = subprocess.run([*command, "-info"], input=packed, capture_output=True, check=True)
    info = RuntimeInfo.decode(done.stdout)
    assert info.name == "containerd-shim-pycontainerd-v1"
    assert info.features is not None
    assert "hooks" in json.loads(info.features.value)
    assert b"Version:" in subprocess.run([*command, "-v"], capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["start"], "namespace"),
        (["-namespace", "n", "start"], "id"),
        (["-namespace", "n", "-id", "x", "dance"], "dance"),
        (["-what"], "-what"),
        (["-id"], "-id"),
    ],
)
def test_a_bad_command_line_is_one_sentence(arguments: list[str], complaint: str) -> None:
    done = subprocess.run(
        [sys.executable, "-IS", "-c", PROGRAM, *arguments], capture_output=True, text=True, check=False, input=""
    )
    assert done.returncode == 1
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1
