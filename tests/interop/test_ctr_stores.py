"""ctr on our socket, Debian's 1.6 and newer ones: what is kept (namespaces, content, images, snapshots, leases)."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.interop.ctr import IMAGE, archive
from tests.support import images
from tests.support.daemon import RunningDaemon
from tests.support.registry import registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.peers import Peer

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, peer: Peer) -> Iterator[RunningDaemon]:
    """A daemon with the small image imported into the namespace ``default``."""
    tar = archive(tmp_path_factory.mktemp("image") / "busybox.tar", IMAGE)
    with RunningDaemon() as running:
        running.ctr("images", "import", str(tar))
        yield running


def digests(daemon: RunningDaemon, namespace: str = "") -> list[str]:
    return daemon.ctr("content", "ls", "-q", namespace=namespace).stdout.split()


def add(daemon: RunningDaemon, data: bytes, namespace: str, ref: str = "r") -> str:
    """A blob that the collector leaves alone; it may come by before the label is set."""
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    for _ in range(5):
        daemon.ctr("content", "ingest", "--expected-digest", digest, ref, namespace=namespace, input=data)
        root = ("content", "label", digest, "containerd.io/gc.root=1")
        if daemon.ctr(*root, namespace=namespace, check=False).returncode == 0:
            return digest
    raise AssertionError(f"the collector takes {digest} each time")


def test_version_and_plugins(daemon: RunningDaemon) -> None:
    answer = daemon.ctr("version").stdout
    assert "Server:\n  Version:  2.3.4+pycontainerd." in answer
    assert "UUID:" in answer
    plugins = {tuple(line.split()[:2]): line.split()[-1] for line in daemon.ctr("plugins", "ls").stdout.splitlines()}
    assert plugins["io.containerd.snapshotter.v1", "overlayfs"] == "ok"
    assert plugins["io.containerd.grpc.v1", "cri"] == "skip"
    assert "log-uri-schemes" in daemon.ctr("plugins", "ls", "-d", "id==task").stdout


def test_namespaces(daemon: RunningDaemon) -> None:
    daemon.ctr("namespaces", "create", "spaces", "a=1")
    daemon.ctr("namespaces", "label", "spaces", "b=2", "a=")
    (line,) = [line for line in daemon.ctr("namespaces", "ls").stdout.splitlines() if line.startswith("spaces")]
    assert line.split() == ["spaces", "b=2"]
    assert "already exists" in daemon.ctr("namespaces", "create", "spaces", check=False).stderr
    add(daemon, b"holds it", "spaces")
    assert "still holds blobs" in daemon.ctr("namespaces", "rm", "spaces", check=False).stderr
    for digest in digests(daemon, "spaces"):
        daemon.ctr("content", "rm", digest, namespace="spaces")
    daemon.ctr("namespaces", "rm", "spaces")
    assert "spaces" not in daemon.ctr("namespaces", "ls").stdout


def test_content(daemon: RunningDaemon) -> None:
    data = b"some bytes" * 100_000
    digest = add(daemon, data, "blobs")
    assert digest in digests(daemon, "blobs")
    assert daemon.ctr("content", "get", digest, namespace="blobs").stdout.encode() == data
    assert "not found" in daemon.ctr("content", "get", digest, namespace="others", check=False).stderr
    daemon.ctr("content", "label", digest, "colour=red", namespace="blobs")
    assert "colour=red" in daemon.ctr("content", "ls", namespace="blobs").stdout
    daemon.ctr("content", "label", digest, "colour=", namespace="blobs")
    assert "colour" not in daemon.ctr("content", "ls", namespace="blobs").stdout
    assert daemon.ctr("content", "active", namespace="blobs").stdout.splitlines()[1:] == []
    daemon.ctr("content", "rm", digest, namespace="blobs")
    assert digests(daemon, "blobs") == []


def test_wrong_digests_and_sizes_are_refused_and_can_be_resumed(daemon: RunningDaemon) -> None:
    wrong = "sha256:" + "0" * 64
    done = daemon.ctr(
        "content", "ingest", "--expected-digest", wrong, "torn", namespace="torn", input=b"data", check=False
    )
    assert done.returncode == 1
    assert "unexpected commit digest" in done.stderr or "failed precondition" in done.stderr
    assert "torn" in daemon.ctr("content", "active", namespace="torn").stdout


def test_images(daemon: RunningDaemon, tmp_path: Path, peer: Peer) -> None:
    listed = daemon.ctr("images", "ls").stdout
    assert IMAGE in listed
    assert "linux/amd64" in listed
    (checked,) = daemon.ctr("images", "check").stdout.splitlines()[1:]
    assert "complete (2/2)" in checked
    assert checked.split()[-1] == "true"
    daemon.ctr("images", "tag", IMAGE, "docker.io/library/tagged:1")
    again = ("images", "tag", IMAGE, "docker.io/library/tagged:1")
    if peer.version < (2, 0):  # newer ones have the server tag, which moves a name that was taken
        assert "already exists" in daemon.ctr(*again, check=False).stderr
    else:
        assert "already exists" in daemon.ctr(*again[:2], "--local", *again[2:], check=False).stderr
    daemon.ctr("images", "tag", "--force", IMAGE, "docker.io/library/tagged:1")
    daemon.ctr("images", "label", "docker.io/library/tagged:1", "my=label")
    assert "my=label" in daemon.ctr("images", "ls", "name==docker.io/library/tagged:1").stdout
    out = tmp_path / "out.tar"
    daemon.ctr("images", "export", str(out), "docker.io/library/tagged:1")
    with tarfile.open(out) as tar:
        names = tar.getnames()
        index = json.load(tar.extractfile("index.json"))  # type: ignore[arg-type]
    assert "oci-layout" in names
    assert index["manifests"][0]["annotations"]["io.containerd.image.name"] == "docker.io/library/tagged:1"
    daemon.ctr("images", "import", str(out), namespace="copied")
    assert "tagged:1" in daemon.ctr("images", "ls", "-q", namespace="copied").stdout
    daemon.ctr("images", "rm", "docker.io/library/tagged:1")
    assert "tagged" not in daemon.ctr("images", "ls", "-q").stdout


def test_mounting_an_image(daemon: RunningDaemon, tmp_path: Path) -> None:
    target = tmp_path / "m"
    target.mkdir()
    daemon.ctr("images", "mount", IMAGE, str(target))
    try:
        assert (target / "bin/busybox").is_file()
        with pytest.raises(OSError, match="Read-only"):
            (target / "x").touch()
    finally:
        daemon.ctr("images", "unmount", "--rm", str(target))
    assert not any(target.iterdir())
    daemon.ctr("images", "mount", "--rw", IMAGE, str(target))
    try:
        (target / "x").touch()
    finally:
        daemon.ctr("images", "unmount", "--rm", str(target))


def test_installing_what_an_image_brings(daemon: RunningDaemon) -> None:
    daemon.ctr("install", IMAGE)
    assert (daemon.root / "opt/bin/busybox").is_file()
    assert "cannot replace" in daemon.ctr("install", IMAGE, check=False).stderr
    daemon.ctr("install", "--replace", IMAGE)


def test_the_last_reference_takes_the_blobs_with_it(daemon: RunningDaemon, tmp_path: Path) -> None:
    tar = archive(tmp_path / "other.tar", "docker.io/library/gone:1", salt=b"unlike the other")
    daemon.ctr("images", "import", "--snapshotter", "native", str(tar), namespace="gone")
    assert len(digests(daemon, "gone")) >= 3
    daemon.ctr("images", "rm", "--sync", "docker.io/library/gone:1", namespace="gone")
    assert digests(daemon, "gone") == []
    assert daemon.ctr("snapshots", "--snapshotter", "native", "ls", namespace="gone").stdout.splitlines()[1:] == []


@pytest.mark.parametrize("snapshotter", ["overlayfs", "native"])
def test_snapshots(daemon: RunningDaemon, tmp_path: Path, snapshotter: str) -> None:
    def ctr(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return daemon.ctr("snapshots", "--snapshotter", snapshotter, *arguments, namespace="snaps", check=check)

    lease = daemon.ctr("leases", "create", namespace="snaps").stdout.strip()
    target = tmp_path / "m"
    target.mkdir()

    def change(key: str, name: str) -> None:
        command = ctr("mounts", str(target), key).stdout
        subprocess.run(command, shell=True, check=True)
        try:
            (target / name).write_text(name)
        finally:
            subprocess.run(["umount", str(target)], check=True)

    # ctr has no way to put these under a lease, so the label keeps them from the collector.
    def root(key: str) -> None:
        ctr("label", key, "containerd.io/gc.root=1")

    ctr("prepare", "one")
    root("one")
    change("one", "first")
    ctr("commit", "base", "one")
    root("base")
    ctr("prepare", "two", "base")
    root("two")
    change("two", "second")
    ctr("view", "look", "base")
    root("look")
    listed = {line.split()[0]: line.split()[-1] for line in ctr("ls").stdout.splitlines()[1:]}
    assert listed == {"base": "Committed", "two": "Active", "look": "View"}
    assert ctr("tree").stdout.split()[0] == "base"
    info = json.loads(ctr("info", "two").stdout)
    assert (info["Name"], info["Parent"], info["Kind"]) == ("two", "base", "Active")
    usage = ctr("usage", "base").stdout.splitlines()
    assert usage[1].split()[0] == "base"
    diff = daemon.ctr(
        "snapshots", "--snapshotter", snapshotter, "diff", "--media-type", "application/vnd.oci.image.layer.v1.tar",
        "base", "two", namespace="snaps",
    )  # fmt: skip
    assert "second" in diff.stdout
    assert "first" not in diff.stdout
    assert "already exists" in ctr("prepare", "two", "base", check=False).stderr
    assert "failed precondition" in ctr("rm", "base", check=False).stderr
    ctr("rm", "look", "two")
    ctr("rm", "base")
    assert ctr("ls").stdout.splitlines()[1:] == []
    daemon.ctr("leases", "rm", lease, namespace="snaps")


def test_leases(daemon: RunningDaemon) -> None:
    made = daemon.ctr("leases", "create", "--id", "mine", "--expires", "1h", "a=b", namespace="leased").stdout.strip()
    assert made == "mine"
    (line,) = daemon.ctr("leases", "ls", namespace="leased").stdout.splitlines()[1:]
    assert line.startswith("mine")
    assert "a=b" in line
    assert "already exists" in daemon.ctr("leases", "create", "--id", "mine", namespace="leased", check=False).stderr
    daemon.ctr("leases", "rm", "--sync", "mine", namespace="leased")
    assert daemon.ctr("leases", "ls", "-q", namespace="leased").stdout.split() == []


def test_pulling_and_fetching_from_a_registry(daemon: RunningDaemon, tmp_path: Path) -> None:
    with registry(tmp_path / "registry") as server:
        tar = archive(tmp_path / "push.tar", "docker.io/library/pushed:1", salt=b"pushed")
        name = f"{server.host}/library/pushed:1"
        subprocess.run(
            ["skopeo", "copy", "-q", "--dest-tls-verify=false", f"docker-archive:{tar}", f"docker://{name}"], check=True
        )
        daemon.ctr("images", "pull", "--plain-http", name, namespace="pulled")
        daemon.ctr("content", "fetch", "--plain-http", name, namespace="fetched")
    assert daemon.ctr("images", "ls", "-q", namespace="pulled").stdout.split() == [name]
    (checked,) = daemon.ctr("images", "check", namespace="pulled").stdout.splitlines()[1:]
    assert checked.split()[-1] == "true"
    assert sorted(digests(daemon, "fetched")) == sorted(digests(daemon, "pulled"))
    assert daemon.ctr("leases", "ls", "-q", namespace="pulled").stdout.split() == []


def test_a_pull_by_the_server_is_drawn_as_a_tree(daemon: RunningDaemon, tmp_path: Path, peer: Peer) -> None:
    if peer.version < (2, 0):
        pytest.skip("ctr has the server pull since 2.0")
    index = images.build_index([images.build([images.busybox_layer()])])
    with registry(tmp_path / "registry") as server:
        name = server.push(index, "library/tree", "1")
        told = daemon.ctr("images", "pull", "--plain-http", name, namespace="tree").stdout
    frames = re.split(r"elapsed:.*", told)
    for part in ("index (", "manifest (", "layer ("):
        assert {frame.count(part) for frame in frames} == {0, 1}
    assert any(re.search(r"\n└──index .*\n   └──manifest .*\n      ├──config ", frame) for frame in frames)


def test_an_unknown_image_or_registry_is_a_sentence(daemon: RunningDaemon) -> None:
    done = daemon.ctr("run", "docker.io/library/none:1", "x", check=False)
    assert done.returncode == 1
    assert "not found" in done.stderr
    assert "not found" in daemon.ctr("images", "tag", "no/such:1", "other:1", check=False).stderr
