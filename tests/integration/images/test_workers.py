"""The worker as a process: what it may not do, how it ends, what it costs."""

from __future__ import annotations

import gzip
import os
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycontainerd.core.diff import LAYER_TAR
from pycontainerd.core.errors import InvalidArgument, ResourceExhausted, Unavailable
from pycontainerd.core.values import Descriptor, Mount
from pycontainerd.images.differ import WalkingDiffer
from tests.support.engines import NAMESPACE, Engines, engines
from tests.support.images import Layer, Member

pytestmark = pytest.mark.root


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Engines]:
    with engines(tmp_path) as found:
        yield found


def apply(made: Engines, layer: Layer, mounts: list[Mount], differ: WalkingDiffer | None = None) -> Descriptor:
    digest = made.add(layer.blob, f"ref-{layer.diff_id}")
    return (differ or made.differ).apply(NAMESPACE, Descriptor(layer.media_type, digest, len(layer.blob)), mounts)


def bind(path: Path) -> list[Mount]:
    path.mkdir(exist_ok=True)
    return [Mount("bind", str(path), "", ("rbind", "rw"))]


POISON = b"import os\nopen('/POISONED', 'w').close()\nos.system('touch /POISONED')\nraise SystemExit(9)\n"
STDLIB = [
    *(f"encodings/{name}.py" for name in ("__init__", "utf_8", "idna", "ascii", "cp437", "latin_1")),
    *(
        f"{name}.py"
        for name in ("sitecustomize", "usercustomize", "os", "traceback", "linecache", "codecs", "threading")
    ),
    *("json/__init__.py", "zipimport.py", "warnings.py", "tokenize.py"),
]


def test_a_poisoned_standard_library_is_extracted_and_never_runs(made: Engines, tmp_path: Path) -> None:
    places = ["", "usr/lib/python3.11/", "usr/lib/python3/dist-packages/", "work/main/", "usr/lib/python311.zip/"]
    members = [Member(f"{place}{name}", data=POISON) for place in places for name in STDLIB]
    members += [Member(f"{d}/libgcc_s.so.1", data=b"\x7fELF poison") for d in ("lib", "usr/lib/x86_64-linux-gnu")]
    members.append(Member("etc/ld.so.preload", data=b"/lib/libgcc_s.so.1\n"))
    members.append(Member("entité-ü", pax={"SCHILY.xattr.user.é": "ü"}))  # something that might look up a codec
    target = tmp_path / "target"
    apply(made, Layer.of(members), bind(target))
    assert (target / "encodings/utf_8.py").read_bytes() == POISON
    assert not (target / "POISONED").exists()
    assert not Path("/POISONED").exists()
    # a broken archive takes the ways of failing, which import more
    broken = Layer.of([Member("encodings/x"), Member("../x")])
    with pytest.raises(InvalidArgument):
        apply(made, broken, bind(target))
    assert not (target / "POISONED").exists()


def slow_layer() -> Layer:
    """One that takes a while: many files."""
    return Layer.of([Member(f"d{i % 50}/f{i}", data=b"x" * 500) for i in range(30_000)])


def workers_of(made: Engines) -> list[int]:
    """Pids of the running workers: children of the template."""
    template = made.workers._process
    assert template is not None
    out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(template.pid)], stdout=subprocess.PIPE, check=False).stdout
    return [int(pid) for pid in out.split()]


def running_worker(made: Engines) -> int:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        for pid in workers_of(made) if made.workers._process else []:
            if os.path.exists(f"/proc/{pid}/root/d0"):
                return pid
        time.sleep(0.005)
    raise AssertionError("no worker seen")


def test_a_worker_is_confined(made: Engines, tmp_path: Path) -> None:
    target = tmp_path / "target"
    mounts = bind(target)
    layer = slow_layer()
    thread = threading.Thread(target=apply, args=(made, layer, mounts))
    thread.start()
    try:
        pid = running_worker(made)
        os.kill(pid, signal.SIGSTOP)
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            capabilities = int(status.split("CapEff:")[1].split()[0], 16)
            bounding = int(status.split("CapBnd:")[1].split()[0], 16)
            table = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
            opened = [os.stat(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
            inside = {target.stat().st_ino} | {path.stat().st_ino for path in target.rglob("*")}
            namespace = os.readlink(f"/proc/{pid}/ns/mnt")
        finally:
            os.kill(pid, signal.SIGCONT)
    finally:
        thread.join()
    needed = sum(1 << number for number in (0, 1, 3, 4, 27, 31))  # files, nodes and file capabilities; nothing else
    assert capabilities & ~needed == 0
    assert bounding & ~needed == 0
    assert len(table) == 1, "nothing is mounted but the target itself"
    assert namespace != os.readlink("/proc/self/ns/mnt")
    assert {status.st_ino for status in opened if stat.S_ISDIR(status.st_mode)} <= inside
    assert str(target) not in Path("/proc/self/mountinfo").read_text()


def test_a_killed_worker_and_a_killed_template_are_survived(made: Engines, tmp_path: Path) -> None:
    mounts = bind(tmp_path / "target")
    layer = slow_layer()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            apply(made, layer, mounts)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    os.kill(running_worker(made), signal.SIGKILL)
    thread.join(20)
    assert isinstance(failures[0], Unavailable)
    process = made.workers._process
    assert process is not None
    process.kill()
    process.wait()
    assert apply(made, Layer.of([Member("again")]), bind(tmp_path / "other")).digest


def test_a_worker_ends_with_its_daemon(made: Engines, tmp_path: Path) -> None:
    mounts = bind(tmp_path / "target")
    layer = slow_layer()
    digest = made.add(layer.blob)
    with pytest.raises(Exception, match="given up"):
        made.differ.extract(
            NAMESPACE, Descriptor(layer.media_type, digest, len(layer.blob)), mounts, cancelled=lambda: True
        )
    until = time.monotonic() + 5
    while workers_of(made) and time.monotonic() < until:
        time.sleep(0.01)
    assert not workers_of(made)


def test_a_full_disk_is_said_to_be_one(made: Engines, tmp_path: Path) -> None:
    target = tmp_path / "small"
    target.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", target], check=True)
    try:
        with pytest.raises(ResourceExhausted, match="no space left"):
            apply(
                made, Layer.of([Member("big", data=os.urandom(3 << 20))]), [Mount("bind", str(target), "", ("rbind",))]
            )
    finally:
        subprocess.run(["umount", target], check=True)


def test_bombs_are_refused(made: Engines, tmp_path: Path) -> None:
    limits = {"bytes": 10 << 20, "entries": 100, "ratio": 50, "free": 1 << 20}
    differ = WalkingDiffer(made.content, made.workers, limits=limits)
    zeros = Layer.of([Member("zeros", data=bytes(20 << 20))])
    with pytest.raises(InvalidArgument, match="more than"):
        apply(made, zeros, bind(tmp_path / "a"), differ)
    with pytest.raises(InvalidArgument, match="100 entries"):
        apply(made, Layer.of([Member(f"f{i}") for i in range(101)]), bind(tmp_path / "b"), differ)
    pax = {"GNU.sparse.size": str(1 << 40), "GNU.sparse.map": "0,1", "GNU.sparse.name": "hole"}
    with pytest.raises(InvalidArgument, match="more than"):
        apply(made, Layer.of([Member("s", data=b"x", pax=pax)]), bind(tmp_path / "c"), differ)
    with pytest.raises(InvalidArgument, match="50 times"):
        apply(made, Layer.of([Member("z", data=bytes(5 << 20))]), bind(tmp_path / "d"), differ)


def test_a_bomb_behind_the_end_of_the_archive_is_refused(made: Engines, tmp_path: Path) -> None:
    differ = WalkingDiffer(made.content, made.workers, limits={"bytes": 1 << 20, "free": 1 << 20})
    layer = Layer(gzip.compress(bytes(8 << 20)), "x", LAYER_TAR + "+gzip")
    with pytest.raises(InvalidArgument):
        apply(made, layer, bind(tmp_path / "a"), differ)


def test_several_layers_at_once(made: Engines, tmp_path: Path) -> None:
    layers = [Layer.of([Member(f"f{i}", data=os.urandom(200_000)) for i in range(5)]) for _ in range(6)]
    answers: dict[int, str] = {}
    threads = [
        threading.Thread(
            target=lambda n=n: answers.update({n: apply(made, layers[n], bind(tmp_path / f"t{n}")).digest})
        )
        for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: layer.diff_id for n, layer in enumerate(layers)}


def test_a_small_layer_costs_milliseconds(made: Engines, tmp_path: Path) -> None:
    layer = Layer.of([Member("f")])
    mounts = bind(tmp_path / "target")
    apply(made, layer, mounts)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        apply(made, layer, mounts)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.05
