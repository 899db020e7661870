"""A container is started and forgotten without the runtime being executed, where that is known to be the same."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pycontainerd.wire.codes import RpcError
from pycontainerd.wire.messages import types_runc
from shim.startfifo import understood
from tests.integration.shim.harness import eventually

if TYPE_CHECKING:
    from tests.integration.shim.harness import Box, Host

pytestmark = pytest.mark.root

LOUD = '#!/bin/sh\necho "$@" >> {notes}\nexec {program} "$@"\n'


@pytest.fixture(params=["crun", "runc"])
def program(request: pytest.FixtureRequest, host: Host) -> Path:
    """A runtime of our own, which may be taken away."""
    found = shutil.which(request.param)
    if found is None:
        pytest.skip(f"{request.param} is not installed")
    return Path(shutil.copy(found, host.base / request.param))


def options(box: Box, program: Path) -> types_runc.Options:
    return types_runc.Options(binary_name=str(program), root=str(box.host.base / "state"))


def spoil(program: Path) -> None:
    """Replace it (what is being executed cannot be written to) by what looks like a program and is none."""
    program.unlink()
    program.write_bytes(b"\x7fELF, but no program any more")
    program.chmod(0o755)


def hooked(box: Box, **hooks: Any) -> None:
    config = box.bundle / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "hooks": hooks}))


def groups(box: Box, pid: int) -> set[Path]:
    """The directories of the groups that are the container's alone."""
    found = set()
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if path.endswith(f"-{box.id}"):
            mount = f"/sys/fs/cgroup/{names.removeprefix('name=') or 'unified'}"
            found.add(Path((mount if Path(mount).is_dir() else "/sys/fs/cgroup") + path))
    return found


def state(box: Box) -> Path:
    return box.host.base / "state" / "test" / box.id


def test_a_life_after_create_takes_no_runtime(host: Host, program: Path) -> None:
    box = host.shim("one", ["/bin/sh", "-c", "exit 3"])
    pid = box.create(options=options(box, program))
    own = groups(box, pid)
    assert own
    assert all(group.is_dir() for group in own)
    assert state(box).is_dir()
    spoil(program)
    box.start()
    assert box.wait().exit_status == 3
    assert box.delete().exit_status == 3
    assert not [group for group in own if group.exists()]
    assert not state(box).exists()


def test_the_runtime_sees_that_it_runs(host: Host, program: Path) -> None:
    box = host.shim("one", ["/bin/sleep", "1000"])
    box.create(options=options(box, program))
    query = [str(program), "--root", str(state(box).parent), "state", box.id]
    assert json.loads(subprocess.check_output(query))["status"] == "created"
    box.start()
    eventually(lambda: json.loads(subprocess.check_output(query))["status"] == "running")
    box.kill()
    box.wait()
    box.delete()


def test_what_was_never_started_is_forgotten_too(host: Host, program: Path) -> None:
    box = host.shim("one", ["/bin/sleep", "1000"])
    own = groups(box, box.create(options=options(box, program)))
    spoil(program)
    box.delete()
    assert not [group for group in own if group.exists()]
    assert not state(box).exists()


def test_a_script_of_that_name_is_asked(host: Host, program: Path) -> None:
    notes = host.base / "notes"
    script = host.base / "bin" / program.name
    script.parent.mkdir()
    script.write_text(LOUD.format(notes=notes, program=program))
    script.chmod(0o755)
    assert not understood(str(script))
    box = host.shim("one", ["/bin/true"])
    box.create(options=options(box, script))
    box.start()
    box.wait()
    box.delete()
    words = [line.split() for line in notes.read_text().splitlines()]
    assert [next(word for word in line if word in ("create", "start", "delete")) for line in words] == [
        "create",
        "start",
        "delete",
    ]


def test_a_hook_after_the_start_is_run(host: Host, program: Path) -> None:
    told = host.base / "told"
    box = host.shim("one", ["/bin/sleep", "1000"])
    hooked(box, poststart=[{"path": "/bin/sh", "args": ["sh", "-c", f"cat >/dev/null; echo up > {told}"]}])
    box.create(options=options(box, program))
    box.start()
    assert told.read_text() == "up\n"
    box.kill()
    box.wait()
    box.delete()


def test_what_died_before_its_start_is_over_and_forgotten(host: Host, program: Path) -> None:
    box = host.shim("one", ["/bin/sleep", "1000"])
    pid = box.create(options=options(box, program))
    os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(RpcError):  # unless it was still on its way out
        box.start()
    assert box.wait().exit_status == 137
    box.delete()
    assert not state(box).exists()


def test_a_group_with_groups_of_its_own_is_left_to_the_runtime(host: Host, program: Path) -> None:
    box = host.shim("one", ["/bin/sleep", "1000"])
    own = groups(box, box.create(options=options(box, program)))
    for group in own:
        (group / "nested").mkdir()
    box.start()
    box.kill()
    box.wait()
    box.delete()
    assert not [group for group in own if group.exists()]


def test_what_is_no_program_is_not_understood(tmp_path: Path) -> None:
    assert not understood(str(tmp_path / "crun"))
    (tmp_path / "crun").write_bytes(b"\x7fEL")
    assert not understood(str(tmp_path / "crun"))
    (tmp_path / "other").write_bytes(b"\x7fELF")
    assert not understood(str(tmp_path / "other"))
    (tmp_path / "runc").write_bytes(b"\x7fELF and more")
    assert understood(str(tmp_path / "runc"))
