"""Managed files: a new life, changes in it, and a user's edits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pycontainerd.core.network import Endpoint, Network, Sandbox, SandboxRequest, Subnet
from pycontainerd.network.hostfiles import HostFiles

if TYPE_CHECKING:
    from pathlib import Path

NETWORKS = {
    "n0": Network("ns", "n0", "bridge", subnets=(Subnet("10.0.0.0/16", "10.0.0.1"),)),
    "n1": Network("ns", "n1", "my-net", subnets=(Subnet("10.1.0.0/16", "10.1.0.1"),)),
}


class Bench:
    def __init__(self, base: Path) -> None:
        self.base, self.dir = base, base / "containers" / "ns" / "box"
        (base / "resolv.conf").write_text("nameserver 192.0.2.1\n")
        self.files = HostFiles(str(base / "containers"), lambda _: NETWORKS, str(base / "resolv.conf"))
        self.number = 0
        self.new_life()

    def new_life(self) -> None:
        """Another file stands in for another namespace."""
        self.number += 1
        self.netns = self.base / f"netns{self.number}"
        self.netns.touch()

    def up(self, *on: str) -> Sandbox:
        ends = tuple(Endpoint(f"e{n}", "ns", "box", n, n, "eth0", "", f"10.{n[1:]}.0.2") for n in on)
        made = Sandbox("ns", "box", SandboxRequest(hostname="web"), "box", ends, netns=str(self.netns))
        self.files.sandbox_up(made)
        return made

    def text(self, name: str) -> str:
        return (self.dir / name).read_text()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_files_keep_their_inodes_and_modes(bench: Bench) -> None:
    bench.up("n0")
    assert bench.text("hostname") == "web\n"
    assert "10.0.0.2\tweb\n" in bench.text("hosts")
    assert bench.text("resolv.conf").splitlines()[1:] == ["nameserver 192.0.2.1"]
    before = {name: (bench.dir / name).stat().st_ino for name in ("hosts", "hostname", "resolv.conf")}
    assert (bench.dir / "hosts").stat().st_mode & 0o777 == 0o644
    bench.up("n0", "n1")
    bench.new_life()
    bench.up("n1")
    assert before == {name: (bench.dir / name).stat().st_ino for name in before}
    assert "10.0.0.2" not in bench.text("hosts")


def test_changes_keep_edits_and_a_new_life_forgets_them(bench: Bench) -> None:
    bench.up("n0")
    with (bench.dir / "hosts").open("a") as file:
        file.write("10.9.9.9\tmine\n")
    bench.up("n0", "n1")
    assert bench.text("hosts").endswith("10.0.0.2\tweb\n10.9.9.9\tmine\n10.1.0.2\tweb\n")
    assert "nameserver 127.0.0.11\n" in bench.text("resolv.conf")
    bench.up("n1")
    assert "10.0.0.2" not in bench.text("hosts")
    assert "mine" in bench.text("hosts")
    (bench.dir / "resolv.conf").write_text("nameserver 192.0.2.99\n")
    bench.up("n0")
    bench.up("n0", "n1")
    assert bench.text("resolv.conf") == "nameserver 192.0.2.99\n"
    bench.new_life()
    bench.up("n0")
    assert "mine" not in bench.text("hosts")
    assert "nameserver 192.0.2.1\n" in bench.text("resolv.conf")


def test_nothing_is_written_when_nothing_changed(bench: Bench) -> None:
    bench.up("n0", "n1")
    before = {path.name: path.stat().st_mtime_ns for path in bench.dir.iterdir()}
    bench.up("n0", "n1")
    assert before == {path.name: path.stat().st_mtime_ns for path in bench.dir.iterdir()}


def test_a_link_is_not_followed(bench: Bench) -> None:
    bench.dir.mkdir(parents=True)
    victim = bench.base / "victim"
    victim.write_text("precious")
    (bench.dir / "hosts").symlink_to(victim)
    bench.up("n0")
    assert victim.read_text() == "precious"


def test_remove_leaves_what_is_not_ours(bench: Bench) -> None:
    bench.up("n0")
    (bench.dir / "box-json.log").touch()
    bench.files.remove("ns", "box")
    assert [path.name for path in bench.dir.iterdir()] == ["box-json.log"]
    bench.files.remove("ns", "box")


def test_failures_are_not_raised(bench: Bench) -> None:
    made = bench.up("n0")
    bench.files.sandbox_up(replace(made, netns=str(bench.base / "gone")))
