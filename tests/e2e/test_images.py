"""Images by command line."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import images as made
from tests.support.registry import registry

if TYPE_CHECKING:
    from tests.e2e.pyctr import Pyctr

pytestmark = pytest.mark.root


def test_list(pyctr: Pyctr) -> None:
    heading, row = pyctr.ok("images").splitlines()
    assert heading.split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert row.split()[:2] == ["busybox", "latest"]
    identity = pyctr.ok("images", "-q")
    assert len(identity) == 12
    assert pyctr.ok("images", "--no-trunc", "-q").startswith("sha256:" + identity)
    assert pyctr.ok("image", "ls", "--format", "{{.Repository}}:{{.Tag}}") == "busybox:latest"
    assert pyctr.ok("images", "-q", "nosuch") == ""
    assert pyctr.ok("images", "-q", "--filter", "reference=busy*") == identity


def test_tag_and_remove(pyctr: Pyctr) -> None:
    pyctr.ok("tag", "busybox", "127.0.0.1:5000/team/box:1")
    identity = pyctr.ok("images", "-q")
    assert "\n" not in identity, "one image under two names"
    assert "referenced in multiple repositories" in pyctr.fails(1, "rmi", identity)
    assert pyctr.ok("rmi", "127.0.0.1:5000/team/box:1") == "Untagged: 127.0.0.1:5000/team/box:1"
    assert "No such image: nosuch" in pyctr.fails(1, "rmi", "nosuch")
    assert "No such image: nosuch" in pyctr.fails(1, "tag", "nosuch", "x")


def test_an_image_in_use_stays(pyctr: Pyctr) -> None:
    pyctr.ok("create", "--name", "user", "busybox")
    assert "must be forced" in pyctr.fails(1, "rmi", "busybox")
    assert pyctr.ok("images", "-q")


def test_save_and_load(pyctr: Pyctr, tmp_path: Path) -> None:
    archive = tmp_path / "box.tar"
    pyctr.ok("tag", "busybox", "copy:1")
    pyctr.ok("save", "-o", str(archive), "copy:1")
    with tarfile.open(archive) as tar:
        names = tar.getnames()
    assert {"oci-layout", "index.json", "manifest.json"} <= set(names)
    pyctr.ok("rmi", "copy:1")
    assert pyctr.ok("load", input=archive.read_bytes()) == "Loaded image: copy:1"
    assert pyctr.ok("run", "--rm", "copy:1", "echo", "hi") == "hi"
    pyctr.ok("rmi", "copy:1")
    piped = pyctr.run("save", "busybox")
    assert len(piped.stdout) > 1 << 20
    assert list(tmp_path.iterdir()) == [archive], "no half file is left"


def test_broken_archives(pyctr: Pyctr, tmp_path: Path) -> None:
    path = tmp_path / "bad.tar"
    path.write_bytes(b"\0" * 10240)
    assert pyctr.fails(1, "load", "-i", str(path))
    path.write_bytes(os.urandom(5000))
    assert pyctr.fails(1, "load", "-i", str(path))
    assert "No such file" in pyctr.fails(1, "load", "-i", str(tmp_path / "nowhere"))
    assert "No such file" in pyctr.fails(1, "save", "-o", str(tmp_path / "no" / "dir"), "busybox")


def test_pull_from_a_registry(pyctr: Pyctr, tmp_path: Path) -> None:
    with registry(tmp_path / "registry") as server:
        server.push(made.busybox(), "team/box", "1")
        name = f"{server.host}/team/box:1"
        text = pyctr.ok("pull", name)
        assert text.splitlines()[0] == f"1: Pulling from {server.host}/team/box"
        assert f"Status: Downloaded newer image for {name}" in text
        assert text.splitlines()[-1] == name
        assert "Image is up to date" in pyctr.ok("pull", name)
        assert pyctr.ok("run", "--rm", name, "echo", "hi") == "hi"
        pyctr.ok("rmi", name)
        done = pyctr.run("run", "--rm", name, "echo", "again")
        assert done.stdout == b"again\n"
        assert f"Unable to find image '{name}' locally" in done.stderr.decode()
        pyctr.ok("rmi", name)
        assert "cannot be pulled" in pyctr.fails(1, "pull", f"{server.host}/team/nosuch:1")
    assert pyctr.fails(1, "pull", name)
    assert "BAD" in pyctr.fails(1, "pull", "127.0.0.1:1/BAD")


def test_pull_all_tags(pyctr: Pyctr, tmp_path: Path) -> None:
    with registry(tmp_path / "registry") as server:
        for tag in ("1", "2", "latest"):
            server.push(made.busybox(), "team/box", tag)
        name = f"{server.host}/team/box"
        lines = pyctr.ok("pull", "-a", name).splitlines()
        assert {line for line in lines if "Pulling from" in line} == {
            f"{tag}: Pulling from {name}" for tag in ("1", "2", "latest")
        }
        assert lines[-1] == name
        listed = pyctr.ok("images", name, "--format", "{{.Tag}}").split()
        assert sorted(listed) == ["1", "2", "latest"]
        pyctr.ok("rmi", *(f"{name}:{tag}" for tag in listed))
        assert pyctr.ok("pull", "--all-tags", "-q", name) == name
        assert "Using default tag: latest" in pyctr.ok("pull", name)
        pyctr.ok("rmi", *(f"{name}:{tag}" for tag in listed))
        assert "can't be used with --all-tags" in pyctr.fails(1, "pull", "-a", f"{name}:1")
        assert "is the name right?" in pyctr.fails(1, "pull", "-a", f"{server.host}/team/nosuch")
    assert "cannot be reached" in pyctr.fails(1, "pull", "-a", name)


def test_info_and_version(pyctr: Pyctr) -> None:
    document = json.loads(pyctr.ok("info", "--format", "json"))
    assert document["Images"] == 1
    assert document["RootDir"] == str(pyctr.daemon.root)
    assert pyctr.ok("version", "--format", "{{.Server.Version}}").endswith("pycontainerd.0.1.0")
    assert pyctr.ok("-v").startswith("pyctr version ")
