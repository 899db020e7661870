"""A runtime's copy in memory is run in its place, until its file is replaced."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pycontainerd.linux.sealed import seal
from pycontainerd.wire.messages import types_runc
from tests.integration.shim.harness import Box, Host

if TYPE_CHECKING:
    from pycontainerd.linux.sealed import Sealed

pytestmark = pytest.mark.root


@pytest.fixture
def crun(host: Host) -> Path:
    """A crun of our own, which may be replaced."""
    found = shutil.which("crun")
    if found is None:
        pytest.skip("crun is not installed")
    return Path(shutil.copy(found, host.base / "crun"))


def shim_with(host: Host, id: str, copy: Sealed) -> Box:
    """A shim that was handed a copy; its containers note which file the runtime was executed from."""
    bundle = host.bundle(id, ["/bin/true"])
    document = json.loads((bundle / "config.json").read_text())
    note = f"readlink /proc/$PPID/exe > {bundle}/exe"
    document["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", note]}]}
    (bundle / "config.json").write_text(json.dumps(document))
    log = os.open(bundle / "log", os.O_RDWR | os.O_NONBLOCK)
    fields = host.request(id, bundle, program=copy.path, program_identity=copy.identity)
    reply = host.ask(fields, [copy.fd])
    assert "pid" in reply, reply
    host.pids.append(reply["pid"])
    box = Box(host, id, bundle, reply["pid"], log)
    host.boxes.append(box)
    return box


def life(box: Box, binary: str) -> str:
    """A container from create to delete; what its runtime was executed from."""
    box.create(options=types_runc.Options(binary_name=binary, root=str(box.host.base / "state")))
    box.start()
    assert box.wait().exit_status == 0
    box.delete()
    return (box.bundle / "exe").read_text().strip()


def test_the_copy_is_run(host: Host, crun: Path) -> None:
    copy = seal(str(crun))
    crun_in_memory = f"/memfd:{crun.name} (deleted)"
    assert life(shim_with(host, "one", copy), str(crun)) == crun_in_memory
    assert life(shim_with(host, "two", copy), str(crun)) == crun_in_memory


def test_a_replaced_runtime_is_run_from_its_file(host: Host, crun: Path) -> None:
    copy = seal(str(crun))
    box = shim_with(host, "one", copy)
    newer = Path(shutil.copy(crun, host.base / "newer"))
    newer.rename(crun)
    assert not life(box, str(crun)).startswith("/memfd:")


def test_another_runtime_is_run_from_its_file(host: Host, crun: Path) -> None:
    other = Path(shutil.copy(crun, host.base / "other"))
    assert not life(shim_with(host, "one", seal(str(crun))), str(other)).startswith("/memfd:")


def test_the_copy_is_not_open_in_the_container(host: Host, crun: Path) -> None:
    box = shim_with(host, "one", seal(str(crun)))
    pid = box.create(options=types_runc.Options(binary_name=str(crun), root=str(host.base / "state")))
    opened = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()]
    box.start()
    box.wait()
    assert not [name for name in opened if "memfd" in name and "crun" in name]
