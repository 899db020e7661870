"""The boot check: what a crash or a broken disk may leave, and what becomes of it."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from pycontainerd.core.digest import of_bytes
from pycontainerd.core.errors import AlreadyExists, NotFound
from pycontainerd.core.gc import Kind
from pycontainerd.stores.collector import Collector
from pycontainerd.stores.content import Content
from pycontainerd.stores.database import Database
from pycontainerd.stores.images import Images
from pycontainerd.stores.schema import STEPS

from .test_images import IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HELLO = b"hello"
DIGEST = of_bytes(HELLO)


class Disk:
    """A content store that can be closed, tampered with and opened again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.open()

    def open(self) -> None:
        self.database = Database(str(self.root / "meta.db"), STEPS)
        self.content = Content(self.database, str(self.root / "content"))

    def close(self) -> None:
        self.database.close()

    def put(self, data: bytes, namespace: str = "n", **labels: str) -> str:
        with self.content.writer(namespace, f"put {data!r}") as writer:
            writer.write(data)
            return writer.commit(labels=labels)

    def path(self, digest: str) -> Path:
        return self.root / "content" / "blobs" / digest.replace(":", "/")

    def quarantined(self) -> list[bytes]:
        directory = self.root / "content" / "quarantine"
        return [path.read_bytes() for path in directory.iterdir()] if directory.exists() else []


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path)
    yield made
    made.close()


def test_a_clean_store_has_no_findings(disk: Disk) -> None:
    disk.put(HELLO)
    disk.content.writer("n", "open").close()
    disk.close()
    disk.open()
    assert disk.content.findings == ([], [], 0, 0, 0)
    assert disk.content.read("n", DIGEST) == HELLO


def test_files_and_ingests_without_rows_are_removed(disk: Disk) -> None:
    disk.put(HELLO)
    disk.close()
    stray = disk.path(of_bytes(b"stray"))
    stray.write_bytes(b"stray")
    (stray.parent / ".half").write_bytes(b"x")
    (disk.root / "content" / "ingest" / "nobody").mkdir()
    disk.open()
    assert disk.content.findings.swept == 1
    assert disk.content.findings.ingests == 1
    assert os.listdir(stray.parent) == [disk.path(DIGEST).name]


def test_a_row_without_its_file_is_hidden_until_the_blob_is_back(disk: Disk) -> None:
    disk.put(HELLO, a="1")
    disk.put(HELLO, "other", b="2")
    disk.close()
    disk.path(DIGEST).unlink()
    disk.open()
    assert disk.content.findings.lost == [DIGEST]
    for namespace in ("n", "other"):
        with pytest.raises(NotFound):
            disk.content.info(namespace, DIGEST)
    assert list(disk.content.list("n")) == []
    disk.put(HELLO, c="3")
    assert disk.content.info("n", DIGEST).labels == {"c": "3"}
    assert disk.content.info("other", DIGEST).labels == {"b": "2"}
    with pytest.raises(AlreadyExists):
        disk.content.writer("other", "again", expected=DIGEST)


def test_a_file_that_comes_back_by_itself_is_shown_again(disk: Disk) -> None:
    disk.put(HELLO, a="1")
    disk.close()
    shutil.move(disk.path(DIGEST), disk.root / "away")
    disk.open()
    disk.close()
    shutil.move(disk.root / "away", disk.path(DIGEST))
    disk.open()
    assert disk.content.findings.found == [DIGEST]
    assert disk.content.info("n", DIGEST).labels == {"a": "1"}


def test_a_file_of_the_wrong_size_is_put_aside(disk: Disk) -> None:
    disk.put(HELLO)
    disk.close()
    disk.path(DIGEST).unlink()
    disk.path(DIGEST).write_bytes(b"hel")
    disk.open()
    assert disk.content.findings.lost == [DIGEST]
    assert disk.quarantined() == [b"hel"]
    disk.put(HELLO)
    assert disk.content.read("n", DIGEST) == HELLO


def test_a_file_that_vanishes_while_we_run_is_noticed_when_read(disk: Disk) -> None:
    disk.put(HELLO)
    disk.path(DIGEST).unlink()
    with pytest.raises(NotFound):
        disk.content.open("n", DIGEST)
    with pytest.raises(NotFound):
        disk.content.info("n", DIGEST)
    disk.put(HELLO)
    assert disk.content.read("n", DIGEST) == HELLO


def test_blobs_under_a_database_that_does_not_know_them_are_kept(disk: Disk) -> None:
    disk.put(HELLO)
    disk.close()
    for name in os.listdir(disk.root):
        if name.startswith("meta.db"):
            (disk.root / name).unlink()
    disk.open()
    assert disk.content.findings.quarantined == 1
    assert disk.quarantined() == [HELLO]
    disk.put(b"new")
    disk.close()
    disk.path(of_bytes(b"stray")).write_bytes(b"stray")
    disk.open()
    assert disk.content.findings.swept == 1


def test_an_ingest_whose_directory_is_gone_is_forgotten(disk: Disk) -> None:
    disk.content.writer("n", "ref").close()
    disk.close()
    shutil.rmtree(disk.root / "content" / "ingest")
    disk.open()
    with pytest.raises(NotFound):
        disk.content.status("n", "ref")


def test_a_lost_blob_still_keeps_what_it_refers_to(disk: Disk) -> None:
    layer = disk.put(b"layer")
    manifest = disk.put(b"m", **{"containerd.io/gc.ref.content.l.0": layer})
    images = Images(disk.database)
    images.create("n", IMAGE)
    assert manifest == IMAGE.target.digest
    disk.close()
    disk.path(manifest).unlink()
    disk.open()
    images = Images(disk.database)
    collector = Collector(disk.database, [disk.content, images])
    assert collector.collect().removed == []
    assert disk.content.read("n", layer) == b"layer"
    images.delete("n", IMAGE.name)
    assert {node.key for node in collector.collect().removed} == {manifest, layer}
    assert all(node.kind is Kind.CONTENT for node in collector.collect().removed)
    assert os.listdir(disk.path(layer).parent) == []
