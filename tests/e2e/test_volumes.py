"""Volumes as a person uses them; beside Debian's docker where both can do a thing."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.pyctr import Pyctr
from tests.support.dockerd import DOCKERD, running_dockerd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.dockerd import Docker

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def tidy(pyctr: Pyctr) -> Iterator[None]:
    """No volume, mount or loop device stays."""
    yield
    pyctr.clean()
    pyctr.ok("volume", "prune", "-af")
    assert pyctr.ok("volume", "ls", "-q") == ""
    assert not pyctr.daemon.leftover_mounts()


def volume_names(pyctr: Pyctr, *words: str) -> list[str]:
    return pyctr.ok("volume", "ls", "-q", *words).split()


def test_the_tutorial(pyctr: Pyctr) -> None:
    assert pyctr.ok("volume", "create", "html") == "html"
    pyctr.ok(
        "run", "--name", "one", "-v", "html:/root/html", "busybox", "sh", "-c", "echo hello >/root/html/index.html"
    )
    pyctr.ok("rm", "one")
    assert pyctr.ok("run", "--rm", "-v", "html:/root/html", "busybox", "cat", "/root/html/index.html") == "hello"
    directory = Path(pyctr.ok("volume", "inspect", "-f", "{{.Mountpoint}}", "html"))
    assert (directory / "index.html").read_text() == "hello\n"


def test_an_image_directory_fills_a_new_volume(pyctr: Pyctr) -> None:
    image = pyctr.ok("run", "--rm", "busybox", "ls", "/etc").split()
    there = pyctr.ok("run", "--rm", "-v", "etc:/etc", "busybox", "ls", "/etc").split()
    assert set(image) <= set(there)
    assert pyctr.ok("run", "--rm", "-v", "etc:/x:ro", "busybox", "cat", "/x/passwd").startswith("root:")
    pyctr.ok("run", "--rm", "-v", "raw:/etc:nocopy", "busybox", "true")
    assert "passwd" not in pyctr.ok("run", "--rm", "-v", "raw:/x", "busybox", "ls", "/x")


def test_anonymous_volumes_come_and_go(pyctr: Pyctr) -> None:
    pyctr.ok("run", "--rm", "-v", "/data", "busybox", "touch", "/data/file")
    assert volume_names(pyctr) == []
    pyctr.ok("run", "--name", "keeps", "-v", "/data", "busybox", "touch", "/data/file")
    (name,) = volume_names(pyctr)
    assert len(name) == 64
    pyctr.ok("run", "--name", "shares", "--volumes-from", "keeps:ro", "busybox", "ls", "/data/file")
    assert "Read-only" in pyctr.fails(1, "run", "--rm", "--volumes-from", "shares:rw", "busybox", "touch", "/data/x")
    pyctr.ok("rm", "-v", "keeps")
    assert volume_names(pyctr) == [name]
    pyctr.ok("rm", "-v", "shares")
    assert volume_names(pyctr) == []
    pyctr.ok("run", "--name", "leaves", "-v", "/data", "busybox", "true")
    pyctr.ok("rm", "leaves")
    assert len(volume_names(pyctr, "--filter", "dangling=true")) == 1
    assert "Total reclaimed space: " in pyctr.ok("volume", "prune", "-f")
    assert volume_names(pyctr) == []


def test_a_volume_of_the_image(pyctr: Pyctr, tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    archive, changed = tmp_path / "image.tar", tmp_path / "changed.tar"
    subprocess.run(["python3", str(root / "scripts/busybox_image.py"), str(archive), "example.test/vol:1"], check=True)
    _add_volume(archive, changed, "/var/lib/state")
    pyctr.ok("load", "-q", "-i", str(changed))
    try:
        pyctr.ok("run", "--name", "db", "example.test/vol:1", "sh", "-c", "echo rows >/var/lib/state/db")
        (mount,) = json.loads(pyctr.ok("inspect", "-f", "{{json .Mounts}}", "db"))
        assert (mount["Type"], mount["Destination"], mount["RW"]) == ("volume", "/var/lib/state", True)
        assert (Path(mount["Source"]) / "db").read_text() == "rows\n"
        named = pyctr.ok("run", "--rm", "-v", "mine:/var/lib/state", "example.test/vol:1", "ls", "/var/lib/state")
        assert named == ""
        assert volume_names(pyctr, "--filter", "name=mine") == ["mine"]
    finally:
        pyctr.clean()
        pyctr.ok("rmi", "example.test/vol:1")


def _add_volume(source: Path, target: Path, path: str) -> None:
    """The same image with a VOLUME in its configuration."""
    import hashlib

    with tempfile.TemporaryDirectory() as scratch:
        top = Path(scratch)
        with tarfile.open(source) as archive:
            archive.extractall(top)  # our own archive
        blobs = top / "blobs/sha256"

        def change(digest: str, edit: Callable[[dict[str, object]], None]) -> tuple[str, int]:
            path = blobs / digest.removeprefix("sha256:")
            document = json.loads(path.read_text())
            edit(document)
            data = json.dumps(document).encode()
            new = hashlib.sha256(data).hexdigest()
            (blobs / new).write_bytes(data)
            return f"sha256:{new}", len(data)

        index = json.loads((top / "index.json").read_text())
        descriptor = index["manifests"][0]
        manifest = json.loads((blobs / descriptor["digest"].removeprefix("sha256:")).read_text())

        def with_volume(document: dict[str, object]) -> None:
            settings = document.setdefault("config", {})
            assert isinstance(settings, dict)
            settings["Volumes"] = {path: {}}

        digest, size = change(manifest["config"]["digest"], with_volume)

        def with_config(document: dict[str, object]) -> None:
            settings = document["config"]
            assert isinstance(settings, dict)
            settings.update(digest=digest, size=size)

        descriptor["digest"], descriptor["size"] = change(descriptor["digest"], with_config)
        (top / "index.json").write_text(json.dumps(index))
        (top / "manifest.json").unlink(missing_ok=True)
        with tarfile.open(target, "w") as archive:
            for path_ in sorted(top.iterdir()):
                archive.add(path_, path_.name)


def test_a_volume_in_use_names_its_user_and_stays(pyctr: Pyctr) -> None:
    container = pyctr.ok("create", "-v", "html:/x", "busybox")
    error = pyctr.fails(1, "volume", "rm", "html", "nosuch")
    assert f"remove html: volume is in use - [{container}]" in error
    assert "No such volume: nosuch" in error
    assert volume_names(pyctr) == ["html"]


def test_renamed_under_a_running_container(pyctr: Pyctr) -> None:
    pyctr.ok("run", "-d", "--name", "writer", "-v", "old:/x", "busybox", "sh", "-c", "while :; do date >/x/now; done")
    pyctr.ok("volume", "rename", "old", "new")
    pyctr.ok("exec", "writer", "touch", "/x/later")
    assert "later" in pyctr.ok("run", "--rm", "-v", "new:/x", "busybox", "ls", "/x")
    pyctr.ok("restart", "-t", "0", "writer")
    assert pyctr.ok("exec", "writer", "ls", "/x/later") == "/x/later"
    assert volume_names(pyctr) == ["new"]


def test_clone_export_import(pyctr: Pyctr, tmp_path: Path) -> None:
    pyctr.ok(
        "run",
        "--rm",
        "-v",
        "db:/x",
        "busybox",
        "sh",
        "-c",
        "echo rows >/x/table; chown 999:998 /x; ln -s table /x/link",
    )
    assert pyctr.ok("volume", "clone", "db", "copy") == "copy"
    archive = tmp_path / "db.tar.zst"
    pyctr.ok("volume", "export", "--compress", "zstd", "-o", str(archive), "db")
    assert archive.read_bytes()[:4] == b"\x28\xb5\x2f\xfd"
    assert pyctr.ok("volume", "import", "--label", "a=b", "back", str(archive)) == "back"
    plain = pyctr.run("volume", "export", "copy").stdout
    assert pyctr.ok("volume", "import", "again", input=plain) == "again"
    for name in ("copy", "back", "again"):
        said = pyctr.ok("run", "--rm", "-v", f"{name}:/x", "busybox", "sh", "-c", "cat /x/link; stat -c %u:%g /x")
        assert said == "rows\n999:998"
    assert "no tar" not in pyctr.fails(1, "volume", "import", "bad", "/etc/passwd")
    assert "bad" not in volume_names(pyctr)
    pyctr.fails(1, "volume", "export", "nosuch")
    pyctr.fails(1, "volume", "clone", "nosuch", "x1")
    pyctr.fails(1, "volume", "import", "x1", "/nowhere/at/all")


def test_bounded(pyctr: Pyctr) -> None:
    write = "dd if=/dev/zero of=/s/f bs=1M count=16 2>&1 | grep -o 'No space left\\|quota exceeded'; true"
    pyctr.ok("volume", "create", "-o", "size=4m", "small")
    assert pyctr.ok("run", "--rm", "-v", "small:/s", "busybox", "sh", "-c", write)
    assert pyctr.ok("run", "--rm", "--storage-opt", "size=8m", "busybox", "sh", "-c", "mkdir /s; " + write)
    assert 'size "lots"' in pyctr.fails(125, "run", "--rm", "--storage-opt", "size=lots", "busybox", "true")
    assert "at least 1m" in pyctr.fails(1, "volume", "create", "-o", "size=1k", "tiny")


def test_mounts_in_full(pyctr: Pyctr, tmp_path: Path) -> None:
    pyctr.ok("run", "--rm", "-v", "site:/x", "busybox", "sh", "-c", "mkdir -p /x/v1; echo one >/x/v1/page")
    page = (
        "type=volume,source=site,target=/p,volume-subpath=v1/page",
        "type=volume,src=site,dst=/v,volume-subpath=v1,ro",
    )
    assert pyctr.ok("run", "--rm", "--mount", page[0], "busybox", "cat", "/p") == "one"
    assert pyctr.run("run", "--rm", "--mount", page[1], "busybox", "touch", "/v/x").returncode != 0
    image = ("--mount", "type=image,source=busybox,target=/i", "busybox")
    assert "Read-only" in pyctr.fails(1, "run", "--rm", *image, "touch", "/i/written")
    pyctr.fails(1, "run", "--rm", "busybox", "ls", "/written")
    assert pyctr.ok("run", "--rm", "--mount", "type=image,source=busybox,target=/i", "busybox", "ls", "/i/bin/sh") == (
        "/i/bin/sh"
    )
    outside = "type=volume,source=site,target=/p,volume-subpath=out"
    pyctr.ok("run", "--rm", "-v", "site:/x", "busybox", "ln", "-s", "/etc", "/x/out")
    assert "leads out" in pyctr.fails(125, "run", "--rm", "--mount", outside, "busybox", "ls", "/p")
    shared = tmp_path / "shared"
    shared.mkdir()
    bound = ("-o", "type=none", "-o", "o=bind", "-o", f"device={shared}")
    pyctr.ok("volume", "create", *bound, "view")
    pyctr.ok("run", "--rm", "-v", "view:/v", "busybox", "touch", "/v/made")
    assert os.listdir(shared) == ["made"]


def test_mounts_are_passed_on(pyctr: Pyctr, tmp_path: Path) -> None:
    words = [
        "run",
        "-d",
        "--name",
        "hears",
        "--mount",
        f"type=bind,source={tmp_path},target=/b,bind-propagation=rslave",
    ]
    tell = ["--mount", f"type=bind,source={tmp_path},target=/b,bind-propagation=rshared"]
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(tmp_path)], check=True)
    try:
        subprocess.run(["mount", "--make-private", str(tmp_path)], check=True)
        refused = pyctr.fails(125, *words, "busybox", "sleep", "1000")
        assert f"path {tmp_path} is mounted on {tmp_path} but it is not a shared or slave mount" in refused
        pyctr.ok("rm", "-f", "hears")
        subprocess.run(["mount", "--make-shared", str(tmp_path)], check=True)
        (tmp_path / "from-host").mkdir()
        (tmp_path / "from-container").mkdir()
        pyctr.ok(*words, "busybox", "sleep", "1000")
        subprocess.run(["mount", "-t", "tmpfs", "marked", str(tmp_path / "from-host")], check=True)
        assert "marked" in pyctr.ok("exec", "hears", "cat", "/proc/mounts")
        pyctr.ok("run", "-d", "--name", "tells", "--privileged", *tell, "busybox", "sleep", "1000")
        pyctr.ok("exec", "tells", "mount", "-t", "tmpfs", "ours", "/b/from-container")
        assert f"ours {tmp_path}/from-container" in Path("/proc/mounts").read_text()
    finally:
        pyctr.clean()
        subprocess.run(["umount", "-R", "-l", str(tmp_path)], check=False)


def test_data_outlives_a_killed_daemon(own: Pyctr) -> None:
    own.ok("run", "-d", "--name", "db", "-v", "data:/x", "busybox", "sh", "-c", "echo rows >/x/f; sleep 1000")
    own.until("rows", "exec", "db", "cat", "/x/f")
    own.daemon.kill()
    own.daemon.start()
    assert own.ok("exec", "db", "cat", "/x/f") == "rows"
    own.ok("rm", "-f", "db")
    assert own.ok("run", "--rm", "-v", "data:/x", "busybox", "cat", "/x/f") == "rows"


# -- beside docker --


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """Debian's dockerd on its own containerd."""
    if not os.path.exists(DOCKERD):
        pytest.skip("no dockerd here")
    directory = tmp_path_factory.mktemp("docker")
    config = directory / "containerd.toml"
    config.write_text("version = 2\n")
    address = str(directory / "c.sock")
    command = ["containerd", "--config", str(config), "--root", str(directory / "root")]
    command += ["--state", str(directory / "state"), "--address", address]
    with (directory / "containerd.log").open("wb") as log:
        containerd = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            with running_dockerd(directory, address) as running:
                archive = directory / "busybox.tar"
                root = Path(__file__).resolve().parents[2]
                maker = ["python3", str(root / "scripts/busybox_image.py"), str(archive)]
                subprocess.run([*maker, "docker.io/library/busybox:latest"], check=True)
                running("load", "-q", "-i", str(archive))
                yield running
        finally:
            containerd.terminate()
            containerd.wait(20)


def test_listings_and_documents_are_dockers(pyctr: Pyctr, docker: Docker) -> None:
    for run in (pyctr.ok, lambda *words: docker(*words).stdout.removesuffix("\n")):
        assert run("volume", "create", "--label", "tier=web", "html") == "html"
    ours, theirs = pyctr.ok("volume", "ls"), docker("volume", "ls").stdout
    assert ours.splitlines()[0].split("   ")[0].strip() == theirs.splitlines()[0].split("   ")[0].strip()
    assert ours.split() == theirs.split()
    assert volume_names(pyctr, "-f", "label=tier=web") == docker("volume", "ls", "-qf", "label=tier=web").stdout.split()
    form = "{{.Name}} {{.Driver}} {{.Scope}} {{.Labels}} {{.Links}} {{.Size}}"
    assert pyctr.ok("volume", "ls", "--format", form) == docker("volume", "ls", "--format", form).stdout.strip()
    (mine,) = json.loads(pyctr.ok("volume", "inspect", "html"))
    (his,) = json.loads(docker("volume", "inspect", "html").stdout)
    assert mine.keys() == his.keys()
    varying = {"CreatedAt", "Mountpoint"}
    assert {k: v for k, v in mine.items() if k not in varying} == {
        k: v or None if k == "Options" else v for k, v in his.items() if k not in varying
    }
    assert his["Mountpoint"].endswith("/volumes/html/_data")
    assert mine["Mountpoint"].endswith("/html/_data")
    docker("volume", "rm", "html")


def test_mounts_of_a_container_are_shown_as_docker_does(pyctr: Pyctr, docker: Docker, tmp_path: Path) -> None:
    words = [
        "-v",
        "html:/v:ro",
        "-v",
        f"{tmp_path}:/b",
        "--mount",
        "type=volume,source=more,target=/m",
        "busybox",
        "true",
    ]
    pyctr.ok("create", "--name", "shown", *words)
    docker("create", "--name", "shown", "--network", "none", *words)
    mine = json.loads(pyctr.ok("inspect", "-f", "{{json .Mounts}}", "shown"))
    his = json.loads(docker("inspect", "-f", "{{json .Mounts}}", "shown").stdout)

    def comparable(mounts: list[dict[str, object]]) -> list[dict[str, object]]:
        kept = [{k: v for k, v in mount.items() if k != "Source"} for mount in mounts]
        for mount in kept:
            if len(str(mount.get("Name"))) == 64:
                mount["Name"] = "anonymous"
        return sorted(kept, key=lambda mount: str(mount["Destination"]))

    assert comparable(mine) == comparable(his)
    docker("rm", "-v", "shown")
    docker("volume", "rm", "html", "more")


@pytest.mark.parametrize(
    "words",
    [
        ["volume", "rm", "nosuch"],
        ["volume", "rm", "-f", "nosuch"],
        ["volume", "inspect", "nosuch"],
        ["volume", "create", "x"],
        ["volume", "create", "a/b"],
        ["volume", "create", "-o", "foo=bar", "vol"],
        ["volume", "create", "-o", "type=tmpfs", "vol"],
        ["volume", "create", "-d", "nosuch", "vol"],
        ["volume", "ls", "--filter", "nosuch=1"],
        ["volume", "create", "one", "two"],
        ["run", "--rm", "-v", "vol:x", "busybox", "true"],
        ["run", "--rm", "-v", "/a:/b:nope", "busybox", "true"],
        ["run", "--rm", "-v", "/a:/", "busybox", "true"],
        ["run", "--rm", "-v", "/tmp:/b", "--tmpfs", "/b", "busybox", "true"],
        ["run", "--rm", "--mount", "type=bind,target=/b", "busybox", "true"],
        ["run", "--rm", "--mount", "type=bind,source=/nowhere/at/all,target=/b", "busybox", "true"],
        ["run", "--rm", "--mount", "type=nosuch,target=/b", "busybox", "true"],
        ["run", "--rm", "--mount", "target", "busybox", "true"],
        ["run", "--rm", "--volumes-from", "nosuch", "busybox", "true"],
        ["run", "--rm", "--tmpfs", "/t:nosuch", "busybox", "true"],
    ],
    ids=lambda words: " ".join(words),
)
def test_what_is_refused_is_refused_alike(pyctr: Pyctr, docker: Docker, words: list[str]) -> None:
    theirs = docker(*words, check=False)
    ours = pyctr.run(*words)
    assert ours.returncode == theirs.returncode, (ours.stderr, theirs.stderr)
    assert bool(ours.stderr) is bool(theirs.stderr)
    assert b"Traceback" not in ours.stderr
