"""Flaws that containerd, runc and Docker once had, tried here. SECURITY.md lists all of them with their tests."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.pyctr import Pyctr
from tests.support.daemon import RunningDaemon
from tests.support.images import Built, build, busybox_layer, digest, oci_archive

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root
RUN = ("run", "--rm", "--network", "none")


@pytest.fixture(scope="module")
def pyctr() -> Iterator[Pyctr]:
    with RunningDaemon() as daemon:
        program = Pyctr(daemon)
        program.load_busybox()
        yield program
        program.clean()


def load(pyctr: Pyctr, image: Built, tmp_path: Path) -> tuple[int, str]:
    """Load an image as ``hostile:1``; exit code and what was said."""
    archive = tmp_path / "image.tar"
    archive.write_bytes(oci_archive({"docker.io/library/hostile:1": image}))
    done = pyctr.run("load", "-q", "-i", str(archive))
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize(
    "user", ["4294967296", "2147483648", "-1", "4294967296:0", "0:4294967296", "18446744073709551616"]
)
def test_no_user_id_wraps_around_to_root(pyctr: Pyctr, tmp_path: Path, user: str) -> None:
    """CVE-2024-40635: an id beyond 31 bits became 0."""
    assert "Traceback" not in pyctr.fails(125, *RUN, f"--user={user}", "busybox", "id")
    assert load(pyctr, build([busybox_layer()], config={"User": user, "Env": ["PATH=/bin"]}), tmp_path)[0] == 0
    assert "uid=" not in pyctr.fails(125, *RUN, "hostile:1", "id")


@pytest.mark.parametrize("number", range(3, 16))
def test_no_working_directory_leads_out(pyctr: Pyctr, number: int) -> None:
    """CVE-2024-21626: a descriptor of the host's file system, left open, was a way to it."""
    done = pyctr.run(*RUN, "-w", f"/proc/self/fd/{number}", "busybox", "ls", "../../../../../../home/..")
    assert done.returncode != 0 or b"work" not in done.stdout
    pyctr.run("rm", "-f", "-a")


def test_a_document_that_is_manifest_and_index_at_once_is_refused(pyctr: Pyctr, tmp_path: Path) -> None:
    """CVE-2021-41190: what one reader takes for a manifest another takes for an index."""
    image = build([busybox_layer()])
    document = json.loads(image.blobs[image.digest])
    document["manifests"] = [image.descriptor]
    blob = json.dumps(document).encode()
    target = {**image.descriptor, "digest": digest(blob), "size": len(blob)}
    code, said = load(pyctr, Built(target, {**image.blobs, digest(blob): blob}, image.config, image.layers), tmp_path)
    assert code == 1
    assert "manifest" in said


def test_shims_listen_in_the_file_system_for_root_alone(pyctr: Pyctr) -> None:
    """CVE-2020-15257: abstract sockets could be reached from containers of the host's network."""
    pyctr.ok("run", "-d", "--name", "listening", "--network", "none", "busybox", "sleep", "100")
    try:
        base = str(pyctr.daemon.base)
        lines = [line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines() if base in line]
        assert lines
        assert not [line for line in lines if line.startswith("@")]
    finally:
        pyctr.ok("rm", "-f", "listening")


def test_failed_execs_on_terminals_leave_nothing(pyctr: Pyctr) -> None:
    """CVE-2022-23471: each left something behind that waited for a terminal's size."""
    pyctr.ok("run", "-d", "--name", "execs", "--network", "none", "busybox", "sleep", "1000")
    try:
        pid = int(pyctr.ok("inspect", "-f", "{{.State.Pid}}", "execs"))
        shim = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
        assert pyctr.daemon.process is not None
        watched = [Path(f"/proc/{process}/fd") for process in (shim, pyctr.daemon.process.pid)]

        def fail() -> None:
            with pyctr.terminal("exec", "-it", "execs", "nothing-there") as terminal:
                assert terminal.wait() == 127

        fail()
        before = [len(os.listdir(path)) for path in watched]
        for _ in range(10):
            fail()
        after = [len(os.listdir(path)) for path in watched]
        assert all(now <= then + 2 for now, then in zip(after, before, strict=True)), (before, after)
    finally:
        pyctr.ok("rm", "-f", "execs")


def test_a_group_a_user_is_taken_out_of_still_counts(pyctr: Pyctr) -> None:
    """CVE-2022-36109, CVE-2023-25173: without the primary group among the others, permissions against it were void."""
    script = "grep ^Groups /proc/self/status"
    assert pyctr.ok(*RUN, "-u", "1234:50", "busybox", "sh", "-c", script).split() == ["Groups:", "50"]
    assert pyctr.ok(*RUN, "busybox", "sh", "-c", script).split() == ["Groups:", "0"]


def test_a_spec_cannot_make_the_runtime_write_where_it_likes(pyctr: Pyctr) -> None:
    """Control groups and ids that are paths stay inside their hierarchies."""
    daemon = pyctr.daemon
    for group in ("/../../../../tmp/pc-escape", "../../pc-escape"):
        image = "docker.io/library/busybox:latest"
        done = daemon.ctr("run", "--rm", "--cgroup", group, image, "odd", "true", check=False)
        assert "must not lead upwards" in done.stderr
        daemon.ctr("containers", "rm", "odd", check=False)
    assert not Path("/tmp/pc-escape").exists()
    for name in ("../etc/passwd", "/tmp", "a/../b"):
        done = daemon.ctr("run", "--rm", "docker.io/library/busybox:latest", name, "true", check=False)
        assert "container id" in done.stderr
