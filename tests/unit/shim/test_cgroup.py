"""Control groups, read from texts and from directories that look like them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.linux.cgroup import Cgroup, flat, hierarchies, membership, number
from shim.task import stats_v1, stats_v2

if TYPE_CHECKING:
    from pathlib import Path

HYBRID = """\
30 25 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
33 30 0:29 /sub /sys/fs/cgroup/with\\040space rw - cgroup cgroup rw,memory
34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
35 30 0:27 / /elsewhere rw - cgroup cgroup rw,cpu,cpuacct
"""
UNIFIED = "30 25 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"


def test_a_hybrid_host_is_version_1() -> None:
    found = hierarchies(HYBRID)
    assert not found.unified
    assert found.v1["cpu"] == found.v1["cpuacct"] == ("/sys/fs/cgroup/cpu,cpuacct", "/")
    assert found.v1["memory"] == ("/sys/fs/cgroup/with space", "/sub")
    assert found.v1["name=systemd"] == ("/sys/fs/cgroup/systemd", "/")
    assert found.v2 == ("/sys/fs/cgroup/unified", "/")


def test_a_unified_host_is_version_2() -> None:
    assert hierarchies(UNIFIED).unified
    assert not hierarchies("").unified


@given(st.text(max_size=300))
def test_whatever_the_kernel_writes(text: str) -> None:
    hierarchies(text)
    membership(text)


def test_membership() -> None:
    text = "4:memory:/a:b\n3:cpu,cpuacct:/c\n1:name=systemd:/d\n0::/e\n"
    assert membership(text) == {"memory": "/a:b", "cpu": "/c", "cpuacct": "/c", "name=systemd": "/d", "": "/e"}


def test_the_home_of_a_container_is_a_group_of_its_own() -> None:
    assert Cgroup({}, "", v2=False).home == ""
    assert Cgroup({"memory": "/m", "pids": "/p"}, "/u", v2=False).home == "/p"
    assert Cgroup({}, "/u", v2=True).home == "/u"


def test_processes_of_groups_below_count(tmp_path: Path) -> None:
    (tmp_path / "cgroup.procs").write_text("1\n2\n")
    (tmp_path / "below").mkdir()
    (tmp_path / "below/cgroup.procs").write_text("3\n")
    assert sorted(Cgroup({}, str(tmp_path), v2=True).pids()) == [1, 2, 3]
    assert Cgroup({}, str(tmp_path / "gone"), v2=True).pids() == []


def test_numbers_and_tables(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("max\n")
    assert number(str(file)) == 2**64 - 1
    file.write_text("junk")
    assert number(str(file), 5) == 5
    assert number(str(tmp_path / "none"), 6) == 6
    file.write_text("a 1\nb c 2\nbad\nneg -1\n")
    assert flat(str(file)) == {"a": 1, "b c": 2}


def test_metrics_of_version_2(tmp_path: Path) -> None:
    files = {
        "pids.current": "3\n",
        "pids.max": "max\n",
        "cpu.stat": "usage_usec 500\nuser_usec 300\nsystem_usec 200\nnr_throttled 4\n",
        "cpu.pressure": "some avg10=1.50 avg60=0.00 avg300=0.00 total=99\nfull avg10=0.00 avg60=0 avg300=0 total=7\n",
        "memory.current": "4096\n",
        "memory.max": "max\n",
        "memory.stat": "anon 11\nfile 12\nworkingset_refault_anon 1\nworkingset_refault_file 2\n",
        "memory.events": "low 0\noom 2\noom_kill 1\n",
        "io.stat": "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0\nbroken\n",
        "hugetlb.2MB.current": "5\n",
        "rdma.current": "mlx4_0 hca_handle=2 hca_object=max\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    metrics = stats_v2.collect(str(tmp_path))
    assert metrics.pids
    assert (metrics.pids.current, metrics.pids.limit) == (3, 0)
    assert metrics.cpu
    assert (metrics.cpu.usage_usec, metrics.cpu.nr_throttled) == (500, 4)
    assert metrics.cpu.psi
    assert metrics.cpu.psi.some
    assert metrics.cpu.psi.some.avg10 == 1.5
    assert metrics.cpu.psi.full
    assert metrics.cpu.psi.full.total == 7
    assert metrics.memory
    assert (metrics.memory.usage, metrics.memory.anon) == (4096, 11)
    assert metrics.memory.usage_limit == 2**64 - 1
    assert metrics.memory.workingset_refault == 3
    assert metrics.memory_events
    assert metrics.memory_events.oom_kill == 1
    assert metrics.io
    assert [(e.major, e.rbytes, e.wios) for e in metrics.io.usage] == [(8, 1, 4)]
    assert [(h.pagesize, h.current) for h in metrics.hugetlb] == [("2MB", 5)]
    assert metrics.rdma
    assert metrics.rdma.current[0].hca_objects == 2**32 - 1
    assert metrics.encode()


def test_metrics_of_version_1(tmp_path: Path) -> None:
    files = {
        "pids/pids.current": "2",
        "pids/pids.max": "100",
        "cpuacct/cpuacct.usage": "12345",
        "cpuacct/cpuacct.stat": "user 3\nsystem 4\n",
        "cpuacct/cpuacct.usage_percpu": "7 8 \n",
        "memory/memory.stat": "rss 2\npgpgin 3\ntotal_rss 4\ntotal_inactive_file 5\nhierarchical_memsw_limit 9\n",
        "memory/memory.usage_in_bytes": "77",
        "memory/memory.limit_in_bytes": "88",
        "blkio/blkio.throttle.io_service_bytes_recursive": "8:0 Read 5\n8:0 Write 6\nTotal 11\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    dirs = {name: str(tmp_path / name) for name in ("pids", "cpuacct", "memory", "blkio")}
    metrics = stats_v1.collect(dirs)
    assert metrics.pids
    assert metrics.pids.limit == 100
    assert metrics.cpu
    assert metrics.cpu.usage
    assert (metrics.cpu.usage.total, metrics.cpu.usage.per_cpu) == (12345, [7, 8])
    assert metrics.cpu.usage.user == 3 * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    memory = metrics.memory
    assert memory
    assert memory.usage
    assert (memory.rss, memory.pg_pg_in, memory.total_rss, memory.total_inactive_file) == (2, 3, 4, 5)
    assert (memory.usage.usage, memory.usage.limit, memory.hierarchical_swap_limit) == (77, 88, 9)
    assert metrics.blkio
    assert [(e.op, e.value) for e in metrics.blkio.io_service_bytes_recursive] == [("Read", 5), ("Write", 6)]
    assert metrics.encode()
