"""cp, diff, export, import, commit, save, load, tag, rmi, volumes."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.parity.cli import fresh

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.parity.cli import Cli

pytestmark = pytest.mark.root


@pytest.fixture(params=["running", "stopped"])
def box(cli: Cli, request: pytest.FixtureRequest) -> str:
    """A container with some files, running or not."""
    name = cli.up()
    cli.ok("exec", name, "sh", "-c", "mkdir -p /d/e; echo a >/d/a; echo b >/d/e/b; ln -s /etc /d/l; chmod 751 /d/e")
    if request.param == "stopped":
        cli.ok("stop", "-t", "0", name)
    return name


def _inside(cli: Cli, name: str, path: str) -> bytes:
    """The content of a file in a container, running or not."""
    done = cli.run("cp", f"{name}:{path}", "-")
    assert done.returncode == 0, done.stderr
    with tarfile.open(fileobj=io.BytesIO(done.stdout.encode(errors="surrogateescape"))) as archive:
        member = archive.extractfile(archive.getmembers()[0])
        assert member is not None
        return member.read()


def test_cp_file_out(cli: Cli, box: str, tmp_path: Path) -> None:
    cli.ok("cp", f"{box}:/d/a", str(tmp_path))
    cli.ok("cp", f"{box}:/d/a", str(tmp_path / "named"))
    assert (tmp_path / "a").read_text() == (tmp_path / "named").read_text() == "a\n"
    cli.ok("cp", f"{box}:/d/e/b", str(tmp_path / "named"))
    assert (tmp_path / "named").read_text() == "b\n"


def test_cp_directory_out(cli: Cli, box: str, tmp_path: Path) -> None:
    cli.ok("cp", f"{box}:/d", str(tmp_path / "new"))
    cli.ok("cp", f"{box}:/d", str(tmp_path))
    (tmp_path / "into").mkdir()
    cli.ok("cp", f"{box}:/d/.", str(tmp_path / "into"))
    for place in ("new", "d", "into"):
        assert sorted(os.listdir(tmp_path / place)) == ["a", "e", "l"]
        assert (tmp_path / place / "e/b").read_text() == "b\n"
        assert (tmp_path / place / "e").stat().st_mode & 0o777 == 0o751
        assert os.readlink(tmp_path / place / "l") == "/etc"


def test_cp_links(cli: Cli, box: str, tmp_path: Path) -> None:
    cli.ok("cp", f"{box}:/d/l", str(tmp_path / "link"))
    assert os.readlink(tmp_path / "link") == "/etc"
    cli.ok("cp", "-L", f"{box}:/d/l", str(tmp_path / "followed"))
    assert "busybox" not in os.listdir(tmp_path / "followed")
    assert "passwd" in os.listdir(tmp_path / "followed")
    cli.ok("cp", f"{box}:/d/l/passwd", str(tmp_path))
    assert (tmp_path / "passwd").read_text().startswith("root:x:0:0:root:/root:/bin/sh\n")


def test_cp_file_in(cli: Cli, box: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("from here\n")
    cli.ok("cp", str(tmp_path / "f"), f"{box}:/d")
    cli.ok("cp", str(tmp_path / "f"), f"{box}:/d/named")
    cli.ok("cp", str(tmp_path / "f"), f"{box}:/d/a")
    for path in ("/d/f", "/d/named", "/d/a"):
        assert _inside(cli, box, path) == b"from here\n"


def test_cp_directory_in(cli: Cli, box: str, tmp_path: Path) -> None:
    (tmp_path / "t/u").mkdir(parents=True)
    (tmp_path / "t/u/f").write_text("deep\n")
    cli.ok("cp", str(tmp_path / "t"), f"{box}:/d")
    cli.ok("cp", str(tmp_path / "t"), f"{box}:/new")
    cli.ok("cp", f"{tmp_path}/t/.", f"{box}:/d/e")
    for path in ("/d/t/u/f", "/new/u/f", "/d/e/u/f"):
        assert _inside(cli, box, path) == b"deep\n"
    assert _inside(cli, box, "/d/e/b") == b"b\n"


def test_cp_through_archives(cli: Cli, box: str) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        member = tarfile.TarInfo("x/y")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"abc"))
    cli.ok("cp", "-", f"{box}:/d", input=data.getvalue())
    assert _inside(cli, box, "/d/x/y") == b"abc"
    out = cli.run("cp", f"{box}:/d/e", "-").stdout.encode()
    with tarfile.open(fileobj=io.BytesIO(out)) as archive:
        assert archive.getnames() == ["e", "e/b"]


@pytest.mark.parametrize(("words", "message"), [
    (["{box}:/no/such", "{tmp}"], "/no/such"),
    (["{tmp}/no-such", "{box}:/d"], "no such file or directory"),
    (["{tmp}/file", "{box}:/no/such/place"], "no"),
    (["{box}:/d", "{tmp}/file"], "cannot"),
    (["{box}:/d", "{box}:/x"], "copying between containers is not supported"),
    (["{tmp}/file", "{tmp}/other"], "must specify at least one container source"),
    (["par-nobody:/x", "{tmp}"], "No such container"),
])  # fmt: skip
def test_cp_refusals(cli: Cli, tmp_path: Path, words: list[str], message: str) -> None:
    (tmp_path / "file").write_text("x")
    name = cli.up()
    cli.ok("exec", name, "mkdir", "/d")
    assert message.lower() in cli.fails(1, "cp", *(word.format(box=name, tmp=tmp_path) for word in words)).lower()


def test_cp_hostile_links_do_not_leave(cli: Cli, tmp_path: Path) -> None:
    name = cli.up()
    secret = tmp_path / "secret"
    secret.mkdir()
    cli.ok(
        "exec", name, "sh", "-c", f"mkdir -p {tmp_path}; ln -s {secret} /way-out; ln -s ../../../../../etc/shadow /up"
    )
    (tmp_path / "f").write_text("x")
    cli.run("cp", str(tmp_path / "f"), f"{name}:/way-out/f")
    assert os.listdir(secret) == []
    assert cli.run("cp", "-L", f"{name}:/up", str(tmp_path / "stolen")).returncode == 1
    assert not (tmp_path / "stolen").exists()


def test_cp_sees_mounts(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("mounted\n")
    name = cli.up("-v", f"{tmp_path}:/m", "--tmpfs", "/t")
    cli.ok("exec", name, "sh", "-c", "echo v > /t/v")
    assert _inside(cli, name, "/m/f") == b"mounted\n"
    cli.ok("cp", str(tmp_path / "f"), f"{name}:/m/g")
    assert (tmp_path / "g").read_text() == "mounted\n"


def test_diff(cli: Cli, box: str) -> None:
    lines = set(cli.ok("diff", box).splitlines())
    assert {"A /d", "A /d/a", "A /d/e", "A /d/e/b", "A /d/l"} <= lines
    assert not {line for line in lines if "hosts" in line or "proc" in line}


def test_diff_kinds(cli: Cli) -> None:
    name = cli.ended("sh", "-c", "rm /etc/group; echo x >> /etc/passwd; touch /tmp/n; mkdir /tmp/m")
    assert set(cli.ok("diff", name).splitlines()) == {
        "C /etc", "D /etc/group", "C /etc/passwd", "C /tmp", "A /tmp/n", "A /tmp/m",
    }  # fmt: skip
    assert cli.ok("diff", cli.ended()) == ""


def test_export_and_import(cli: Cli, box: str, tmp_path: Path) -> None:
    path, image = str(tmp_path / "fs.tar"), fresh()
    cli.ok("export", "-o", path, box)
    with tarfile.open(path) as archive:
        names = {name.removeprefix("./").rstrip("/") for name in archive.getnames()}
    assert {"d/a", "d/e/b", "etc/passwd", "bin/busybox"} <= names
    said = cli.ok("import", "-c", 'CMD ["cat", "/d/a"]', "-c", "ENV X=1", "-m", "why", path, image)
    try:
        assert re.fullmatch("sha256:[0-9a-f]{64}", said)
        assert cli.once(image).stdout == "a\n"
        assert json.loads(cli.ok("image", "inspect", "-f", "{{json .Config.Cmd}}", image)) == ["cat", "/d/a"]
        assert "why" in cli.ok("history", image)
    finally:
        cli.ok("rmi", "-f", image)


def test_import_from_a_pipe(cli: Cli) -> None:
    data, image = io.BytesIO(), fresh()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        member = tarfile.TarInfo("f")
        archive.addfile(member)
    cli.ok("import", "-", image, input=data.getvalue())
    assert cli.ok("images", "--format", "{{.Repository}}:{{.Tag}}", image) == f"{image}:latest"
    cli.ok("rmi", image)


def test_commit(cli: Cli, box: str) -> None:
    image = fresh()
    said = cli.ok("commit", "-a", "Somebody", "-m", "a message", "-c", "CMD cat /d/a", "-c", "LABEL k=v", box, image)
    try:
        assert re.fullmatch("sha256:[0-9a-f]{64}", said)
        assert cli.once(image).stdout == "a\n"
        assert cli.ok("image", "inspect", "-f", '{{.Author}} {{index .Config.Labels "k"}}', image) == "Somebody v"
        assert "a message" in cli.ok("history", "--format", "{{.Comment}}", image)
        assert cli.once(image, "ls", "/d/e").stdout == "b\n"
    finally:
        cli.ok("rmi", "-f", image)


@pytest.fixture
def tagged(cli: Cli) -> Iterator[str]:
    """Another name for busybox."""
    name = fresh("par-image") + ":1"
    assert cli.ok("tag", "busybox", name) == ""
    yield name
    cli.run("rmi", "-f", name)


def test_tag_and_untag(cli: Cli, tagged: str) -> None:
    assert cli.ok("images", "-q", tagged) == cli.ok("images", "-q", "busybox")
    assert cli.ok("rmi", tagged) == f"Untagged: {tagged}"
    assert "No such image" in cli.fails(1, "rmi", tagged)


@pytest.mark.parametrize("words", [["busybox", "UPPER"], ["par-no-such", "x"], ["busybox", "a:b:c"]])
def test_tag_refusals(cli: Cli, words: list[str]) -> None:
    assert cli.fails(1, "tag", *words)


def test_rmi_of_an_image_in_use(cli: Cli, tagged: str) -> None:
    name = cli.up()
    said = cli.fails(1, "rmi", "busybox", tagged) if False else cli.run("rmi", cli.ok("images", "-q", "busybox")).stderr
    assert "must be forced" in said or "cannot be forced" in said
    assert cli.show(name, "{{.State.Status}}") == "running"


def test_save_and_load(cli: Cli, tagged: str, tmp_path: Path) -> None:
    path = str(tmp_path / "image.tar")
    cli.ok("save", "-o", path, tagged)
    with tarfile.open(path) as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest is not None
        assert json.load(manifest)[0]["RepoTags"] == [tagged]
    cli.ok("rmi", tagged)
    assert cli.ok("load", "-i", path).splitlines()[-1] == f"Loaded image: {tagged}"
    assert cli.once(tagged, "echo", "back").stdout == "back\n"


def test_save_of_nothing(cli: Cli, tmp_path: Path) -> None:
    assert "par-no-such" in cli.fails(1, "save", "-o", str(tmp_path / "x"), "par-no-such")


def test_image_prune_leaves_what_is_used(cli: Cli) -> None:
    cli.up()
    said = cli.ok("image", "prune", "-f").splitlines()
    assert said[-1].startswith("Total reclaimed space: ")
    assert "busybox" in cli.ok("images", "--format", "{{.Repository}}")


# -- volumes --


def test_volumes(cli: Cli) -> None:
    name = fresh("par-vol")
    assert cli.ok("volume", "create", "--label", "k=v", name) == name
    assert name in cli.ok("volume", "ls", "-q").split()
    assert cli.ok("volume", "inspect", "-f", "{{.Name}} {{.Driver}} {{.Scope}} {{json .Labels}}", name) == (
        f'{name} local local {{"k":"v"}}'
    )
    assert cli.once("-v", f"{name}:/v", "busybox", "sh", "-c", "echo kept > /v/f").returncode == 0
    assert cli.once("-v", f"{name}:/v:ro", "busybox", "cat", "/v/f").stdout == "kept\n"
    assert cli.ok("volume", "rm", name) == name
    assert "no such volume" in cli.fails(1, "volume", "inspect", name).lower()


def test_volume_in_use(cli: Cli) -> None:
    name = fresh("par-vol")
    box = cli.up("-v", f"{name}:/v")
    assert "in use" in cli.fails(1, "volume", "rm", name)
    assert cli.ok("ps", "-q", "--filter", f"volume={name}") == cli.show(box, "{{.Id}}")[:12]
    assert cli.show(box, "{{(index .Mounts 0).Type}} {{(index .Mounts 0).Name}}") == f"volume {name}"


def test_anonymous_volume_goes_with_rm_v(cli: Cli) -> None:
    box = cli.up("-v", "/anonymous")
    name = cli.show(box, "{{(index .Mounts 0).Name}}")
    assert re.fullmatch("[0-9a-f]{64}", name)
    cli.ok("rm", "-f", "-v", box)
    assert name not in cli.ok("volume", "ls", "-q").split()


def test_volumes_from(cli: Cli) -> None:
    name = fresh("par-vol")
    box = cli.up("-v", f"{name}:/v")
    cli.ok("exec", box, "touch", "/v/shared")
    assert cli.once("--volumes-from", box, "busybox", "ls", "/v").stdout == "shared\n"


# -- networks --


def test_networks(cli: Cli) -> None:
    name = fresh("par-net")
    identity = cli.ok("network", "create", "--subnet", "10.77.5.0/24", "--label", "k=v", name)
    assert re.fullmatch("[0-9a-f]{64}", identity)
    (document,) = json.loads(cli.ok("network", "inspect", name))
    assert (document["Name"], document["Id"], document["Driver"]) == (name, identity, "bridge")
    assert document["IPAM"]["Config"][0]["Subnet"] == "10.77.5.0/24"
    assert document["Labels"] == {"k": "v"}
    assert name in cli.ok("network", "ls", "--filter", "label=k=v", "--format", "{{.Name}}").split()
    assert "already exists" in cli.fails(1, "network", "create", name)
    assert cli.ok("network", "rm", name) == name
    assert "not found" in cli.fails(1, "network", "rm", name).lower().replace("no such network", "not found")


def test_container_on_a_network(cli: Cli) -> None:
    net, box = fresh("par-net"), fresh()
    cli.ok("network", "create", "--subnet", "10.77.6.0/24", net)
    cli.ok("run", "-d", "--name", box, "--network", net, "--ip", "10.77.6.9", "busybox", "sleep", "1000")
    try:
        assert cli.show(box, f'{{{{(index .NetworkSettings.Networks "{net}").IPAddress}}}}') == "10.77.6.9"
        assert cli.show(box, "{{.HostConfig.NetworkMode}}") == net
        assert cli.ok("exec", box, "sh", "-c", "ip -4 addr show eth0 | grep -c 10.77.6.9/24") == "1"
        assert cli.ok("ps", "-q", "--filter", f"network={net}") == cli.show(box, "{{.Id}}")[:12]
        assert cli.run("network", "rm", net).returncode == 1
        other = ["run", "--rm", "--network", net, "busybox", "nslookup", box]
        assert "10.77.6.9" in cli.run(*other).stdout
    finally:
        cli.ok("rm", "-f", box)
        cli.ok("network", "rm", net)


def test_network_builtin(cli: Cli) -> None:
    found = cli.ok("network", "ls", "--format", "{{.Name}} {{.Driver}}").splitlines()
    assert {"host host", "none null"} <= set(found)
