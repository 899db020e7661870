"""Two hundred containers at once start, answer exec, outlive a kill -9 of the daemon, and leave nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.cycle import Api
from benchmarks.images import chain_id
from benchmarks.memory import processes, pss
from tests.support.daemon import RunningDaemon

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]
SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "busybox_image.py"
COUNT = 200


def cgroups() -> set[str]:
    """Every cgroup of the benchmark's parent, in all hierarchies."""
    return {str(path) for path in Path("/sys/fs/cgroup").glob("*/bench/*") if path.is_dir()}


def start(api: Api, chain: str) -> str:
    """One sleeping container; its id."""
    name, mounts = api.make(["/bin/sleep", "1000"], chain)
    api.start(name, mounts)
    return name


def exec_in(daemon: RunningDaemon, name: str) -> str:
    """What an exec in the container prints."""
    return daemon.ctr("task", "exec", "--exec-id", "e", name, "echo", name, namespace="bench").stdout.strip()


def test_two_hundred_containers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = tmp_path / "busybox.tar"
    subprocess.run([sys.executable, str(SCRIPT), str(archive), "many/busybox:latest"], check=True)
    before = cgroups()
    with RunningDaemon() as daemon, ThreadPoolExecutor(8) as pool:
        daemon.ctr("images", "import", str(archive), namespace="bench")
        chain, api = chain_id(archive), Api(daemon.address)
        began = time.monotonic()
        names = list(pool.map(lambda _: start(api, chain), range(COUNT)))
        started = time.monotonic() - began
        sample = names[:: COUNT // 20]
        assert list(pool.map(lambda name: exec_in(daemon, name), sample)) == sample
        shims = [pid for pid, line in processes() if "shim" in line and pid in daemon.leftover_processes()]
        weight = sum(map(pss, shims)) / COUNT
        daemon.kill()
        began = time.monotonic()
        daemon.restart()
        recovered = time.monotonic() - began
        api = Api(daemon.address)
        assert list(pool.map(lambda name: exec_in(daemon, name), sample)) == sample
        list(pool.map(lambda name: api.finish(name, kill=True), names))
        assert daemon.ctr("task", "ls", "-q", namespace="bench").stdout == ""
        assert daemon.leftover_mounts() == []
        assert cgroups() - before == set()
        bundles = daemon.state / "io.containerd.runtime.v2.task" / "bench"
        assert not bundles.exists() or list(bundles.iterdir()) == []
    with capsys.disabled():
        told = f"started in {started:.1f} s, {weight:.2f} MB a shim, found again in {recovered:.2f} s"
        sys.stdout.write(f"\n{COUNT} containers: {told}\n")
