"""What any content store must do, by the rules containerd's clients rely on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pycontainerd.core.content import ContentInfo
from pycontainerd.core.digest import of_bytes
from pycontainerd.core.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OutOfRange,
    ResourceExhausted,
    Unavailable,
)
from pycontainerd.core.leases import LeaseResource
from pycontainerd.core.namespaces import Namespace
from pycontainerd.wire import failpoint
from pycontainerd.wire.messages.events_content import ContentCreate, ContentDelete

if TYPE_CHECKING:
    from .conftest import Stage

HELLO = b"hello, world"
DIGEST = of_bytes(HELLO)
OTHER = of_bytes(b"other")


def test_write_commit_read(stage: Stage) -> None:
    store = stage.store
    with store.writer("n", "ref", total=len(HELLO), expected=DIGEST) as writer:
        assert writer.status().offset == 0
        assert writer.status().total == len(HELLO)
        assert writer.write(HELLO[:5]) == 5
        assert writer.digest() == of_bytes(HELLO[:5])
        assert writer.write(memoryview(HELLO)[5:]) == len(HELLO)
        assert writer.commit(size=len(HELLO), expected=DIGEST, labels={"a": "1", "empty": ""}) == DIGEST
    info = store.info("n", DIGEST)
    assert (info.digest, info.size, info.labels) == (DIGEST, len(HELLO), {"a": "1"})
    assert info.created_at == info.updated_at is not None
    with store.open("n", DIGEST) as blob:
        assert blob.size == len(HELLO)
        assert blob.pread(5, 7) == b"world"
        assert os.pread(blob.fileno(), 5, 0) == b"hello"
    assert store.read("n", DIGEST) == HELLO
    with pytest.raises(ResourceExhausted, match="12 bytes"):
        store.read("n", DIGEST, limit=11)
    assert stage.heard == [("n", "/content/create", ContentCreate(digest=DIGEST, size=12))]
    assert stage.ingest_directories() == 0
    with pytest.raises(NotFound):
        store.status("n", "ref")


def test_blob_files_are_read_only_and_where_clients_of_the_disk_look(stage: Stage) -> None:
    stage.put("n", HELLO)
    path = stage.root / "content" / "blobs" / "sha256" / DIGEST.partition(":")[2]
    assert path.read_bytes() == HELLO
    assert path.stat().st_mode & 0o777 == 0o444


def test_an_empty_blob(stage: Stage) -> None:
    digest = stage.put("n", b"")
    assert digest == of_bytes(b"")
    assert stage.store.read("n", digest) == b""


@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
def test_other_algorithms(stage: Stage, algorithm: str) -> None:
    expected = of_bytes(HELLO, algorithm)
    with stage.store.writer("n", "early", expected=expected) as writer:
        writer.write(HELLO)
        assert writer.commit() == expected
    with stage.store.writer("other", "late") as writer:
        writer.write(HELLO)
        assert writer.commit(expected=expected) == expected
    assert stage.store.read("other", expected) == HELLO


@pytest.mark.parametrize("bad", ["", "nonsense", "sha256:12", "md5:" + "0" * 32])
def test_malformed_digests(stage: Stage, bad: str) -> None:
    store = stage.store
    for call in (store.info, store.open, store.delete, store.read):
        with pytest.raises(InvalidArgument):
            call("n", bad)
    with pytest.raises(InvalidArgument):
        store.update("n", ContentInfo(bad))
    if bad:
        with pytest.raises(InvalidArgument):
            store.writer("n", "ref", expected=bad)


def test_unknown_digests_and_refs(stage: Stage) -> None:
    store = stage.store
    for call in (store.info, store.open, store.delete, store.read):
        with pytest.raises(NotFound):
            call("n", DIGEST)
    with pytest.raises(NotFound):
        store.update("n", ContentInfo(DIGEST))
    with pytest.raises(NotFound):
        store.status("n", "ref")
    with pytest.raises(NotFound):
        store.abort("n", "ref")
    with pytest.raises(InvalidArgument, match="ref"):
        store.writer("n", "")
    with pytest.raises(InvalidArgument, match="negative"):
        store.writer("n", "ref", total=-1)


def test_one_writer_a_ref(stage: Stage) -> None:
    with stage.store.writer("n", "ref"):
        with pytest.raises(Unavailable, match="ref"):
            stage.store.writer("n", "ref")
        stage.store.writer("other", "ref").close()
        stage.store.writer("n", "another").close()
    stage.store.writer("n", "ref").close()


def test_resume_hashes_what_is_there(stage: Stage) -> None:
    with stage.store.writer("n", "ref", total=12) as writer:
        writer.write(HELLO[:5])
    started = stage.store.status("n", "ref").started_at
    stage.restart()
    with stage.store.writer("n", "ref", total=12) as writer:
        status = writer.status()
        assert (status.offset, status.total, status.started_at) == (5, 12, started)
        assert writer.digest() == of_bytes(HELLO[:5])
        writer.write(HELLO[5:])
        assert writer.commit(size=12, expected=DIGEST) == DIGEST


def test_another_total_starts_over(stage: Stage) -> None:
    with stage.store.writer("n", "ref", total=5) as writer:
        writer.write(b"abc")
    with stage.store.writer("n", "ref") as writer:
        assert writer.status().offset == 3
        assert writer.status().total == 5
    with stage.store.writer("n", "ref", total=12) as writer:
        assert writer.status().offset == 0
        assert writer.status().total == 12


def test_truncate_restarts_the_hash(stage: Stage) -> None:
    with stage.store.writer("n", "ref") as writer:
        writer.write(b"wrong")
        writer.truncate(0)
        assert writer.status().offset == 0
        writer.write(HELLO + b"more")
        with pytest.raises(OutOfRange):
            writer.truncate(100)
        writer.truncate(len(HELLO))
        assert writer.digest() == DIGEST
        assert writer.commit() == DIGEST


def test_statuses(stage: Stage) -> None:
    with stage.store.writer("n", "b", expected=DIGEST) as writer:
        writer.write(b"12345")
        status = stage.store.status("n", "b")
        assert (status.ref, status.offset, status.expected) == ("b", 5, "")
        assert status.started_at is not None
        assert status.updated_at is not None
        assert status.updated_at >= status.started_at
    stage.store.writer("n", "a").close()
    stage.store.writer("other", "c").close()
    assert [status.ref for status in stage.store.statuses("n")] == ["a", "b"]
    assert [status.ref for status in stage.store.statuses("n", ["ref==b"])] == ["b"]
    with pytest.raises(InvalidArgument):
        stage.store.statuses("n", ["ref="])


def test_wrong_size_or_digest_keeps_the_ingest(stage: Stage) -> None:
    with stage.store.writer("n", "ref") as writer:
        writer.write(HELLO)
        with pytest.raises(FailedPrecondition, match="size"):
            writer.commit(size=13)
        with pytest.raises(FailedPrecondition, match="digest"):
            writer.commit(expected=OTHER)
        with pytest.raises(InvalidArgument):
            writer.commit(expected="nonsense")
        with pytest.raises(InvalidArgument, match="label"):
            writer.commit(labels={"k": "v" * 5000})
    assert stage.store.status("n", "ref").offset == 12
    with stage.store.writer("n", "ref") as writer:
        assert writer.commit(size=12, expected=DIGEST) == DIGEST


def test_what_was_declared_at_opening_is_held_to_it(stage: Stage) -> None:
    with stage.store.writer("n", "ref", total=13, expected=OTHER) as writer:
        writer.write(HELLO)
        with pytest.raises(FailedPrecondition, match="13 were promised"):
            writer.commit()
        with pytest.raises(FailedPrecondition, match="digest"):
            writer.commit(size=12)


def test_expected_content_that_is_here_already(stage: Stage) -> None:
    stage.put("n", HELLO)
    with pytest.raises(AlreadyExists):
        stage.store.writer("n", "ref", expected=DIGEST)
    assert stage.store.statuses("n") == []


def test_committing_what_is_here_already_removes_the_ingest(stage: Stage) -> None:
    stage.put("n", HELLO, first="1")
    with stage.store.writer("n", "ref") as writer:
        writer.write(HELLO)
        with pytest.raises(AlreadyExists):
            writer.commit(labels={"second": "2"})
    assert stage.store.statuses("n") == []
    assert stage.store.info("n", DIGEST).labels == {"first": "1"}
    assert stage.ingest_directories() == 0
    assert len(stage.heard) == 1


def test_abort(stage: Stage) -> None:
    with stage.store.writer("n", "ref") as writer:
        writer.write(HELLO)
        stage.store.abort("n", "ref")
        with pytest.raises(NotFound, match="ref"):
            writer.commit()
    assert stage.ingest_directories() == 0
    assert stage.blob_files() == set()
    with stage.store.writer("n", "ref") as writer:
        assert writer.status().offset == 0


def test_labels(stage: Stage) -> None:
    stage.put("n", HELLO, a="1", b="2")
    store = stage.store
    before = store.info("n", DIGEST)
    changed = store.update("n", ContentInfo(DIGEST, labels={"a": "", "c.d/e": "3"}), ["labels.a", "labels.c.d/e"])
    assert changed.labels == {"b": "2", "c.d/e": "3"}
    assert changed == store.info("n", DIGEST)
    assert changed.created_at == before.created_at
    assert store.update("n", ContentInfo(DIGEST, labels={"z": "9"}), ["labels"]).labels == {"z": "9"}
    assert store.update("n", ContentInfo(DIGEST, labels={"y": "8"})).labels == {"y": "8"}
    for paths in (["size"], ["labelsx"], ["labels.a", "digest"]):
        with pytest.raises(InvalidArgument, match="mask"):
            store.update("n", ContentInfo(DIGEST), paths)
    with pytest.raises(InvalidArgument, match="4096"):
        store.update("n", ContentInfo(DIGEST, labels={"k": "v" * 4096}), ["labels.k"])


def test_list_filters_and_pages(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pycontainerd.stores.content.PAGE", 3)
    digests = sorted(stage.put("n", bytes([number]), parity=str(number % 2)) for number in range(9))
    stage.put("other", HELLO)
    assert [info.digest for info in stage.store.list("n")] == digests
    assert len(list(stage.store.list("n", ["labels.parity==1"]))) == 4
    assert [info.digest for info in stage.store.list("n", [f"digest=={digests[0]}"])] == digests[:1]
    assert list(stage.store.list("n", ["size"])) == []
    with pytest.raises(InvalidArgument):
        stage.store.list("n", ["digest="])


def test_namespaces_share_bytes_but_not_sight(stage: Stage) -> None:
    stage.put("a", HELLO, mine="1")
    with pytest.raises(NotFound):
        stage.store.info("b", DIGEST)
    with stage.store.writer("b", "ref", total=12, expected=DIGEST) as writer:
        assert writer.status().offset == 12
        assert writer.digest() == DIGEST
        writer.commit(size=12, expected=DIGEST)
    assert stage.store.info("b", DIGEST).labels == {}
    assert len(stage.blob_files()) == 1
    stage.store.delete("a", DIGEST)
    assert stage.store.read("b", DIGEST) == HELLO
    stage.store.delete("b", DIGEST)
    assert stage.blob_files() == set()
    assert [(namespace, topic) for namespace, topic, _ in stage.heard] == [
        ("a", "/content/create"),
        ("b", "/content/create"),
        ("a", "/content/delete"),
        ("b", "/content/delete"),
    ]
    assert stage.heard[-1][2] == ContentDelete(digest=DIGEST)


def test_a_shared_write_survives_the_owners_delete(stage: Stage) -> None:
    stage.put("a", HELLO)
    with stage.store.writer("b", "ref", expected=DIGEST) as writer:
        stage.store.delete("a", DIGEST)
        assert stage.blob_files() == set()
        assert writer.commit() == DIGEST
    assert stage.store.read("b", DIGEST) == HELLO


def test_writing_into_a_shared_ingest_leaves_the_blob_alone(stage: Stage) -> None:
    stage.put("a", HELLO)
    with stage.store.writer("b", "ref", expected=DIGEST) as writer:
        writer.write(b"!")
        assert writer.digest() == of_bytes(HELLO + b"!")
        with pytest.raises(FailedPrecondition):
            writer.commit()
        writer.truncate(0)
        writer.write(b"other")
        assert writer.commit(expected=OTHER) == OTHER
    assert stage.store.read("a", DIGEST) == HELLO
    stage.put("a", b"x" + HELLO)
    with stage.store.writer("c", "ref", expected=DIGEST) as writer:
        stage.store.delete("a", DIGEST)
        writer.write(b"?")
        assert writer.digest() == of_bytes(HELLO + b"?")


def test_isolated_namespaces_share_only_when_labelled(stage: Stage) -> None:
    stage.restart(isolated=True)
    stage.put("a", HELLO)
    with stage.store.writer("b", "ref", expected=DIGEST) as writer:
        assert writer.status().offset == 0
    stage.namespaces.update(Namespace("a", {"containerd.io/namespace.shareable": "true"}))
    with stage.store.writer("c", "ref", expected=DIGEST) as writer:
        assert writer.status().offset == 12
    with stage.store.writer("b", "ref") as writer:
        writer.write(HELLO)
        writer.commit()
    assert len(stage.blob_files()) == 1


def test_leases_hold_the_ingest_then_the_blob(stage: Stage) -> None:
    stage.leases.create("n", "l")

    def held(lease: str) -> list[LeaseResource]:
        return list(stage.leases.list_resources("n", lease))

    with stage.store.writer("n", "ref", lease="l") as writer:
        assert held("l") == [LeaseResource("ingests", "ref")]
        writer.write(HELLO)
        writer.commit()
    assert held("l") == [LeaseResource("content", DIGEST)]
    with pytest.raises(NotFound, match='lease "none": not found'):
        stage.store.writer("n", "ref2", lease="none")
    assert stage.store.statuses("n") == []
    stage.leases.create("n", "m")
    with pytest.raises(AlreadyExists):
        stage.store.writer("n", "ref3", expected=DIGEST, lease="m")
    assert held("m") == [LeaseResource("content", DIGEST)]
    stage.leases.create("n", "o")
    with stage.store.writer("n", "ref4", lease="o") as writer:
        writer.write(HELLO)
        with pytest.raises(AlreadyExists):
            writer.commit()
    assert held("o") == [LeaseResource("content", DIGEST)]


def test_a_reader_keeps_its_blob_through_a_delete(stage: Stage) -> None:
    stage.put("n", HELLO)
    with stage.store.open("n", DIGEST) as blob:
        stage.store.delete("n", DIGEST)
        assert blob.pread(100, 0) == HELLO
    with pytest.raises(NotFound):
        stage.store.open("n", DIGEST)


def test_a_full_disk_keeps_the_acknowledged_bytes(stage: Stage) -> None:
    with stage.store.writer("n", "ref") as writer:
        writer.write(HELLO[:5])
        failpoint.arm("content.write", "error:ENOSPC")
        try:
            with pytest.raises(ResourceExhausted, match="no space left"):
                writer.write(HELLO[5:])
        finally:
            failpoint.disarm("content.write")
        assert writer.status().offset == 5
        assert writer.write(HELLO[5:]) == 12
        assert writer.commit() == DIGEST


def test_a_commit_that_fails_on_disk_can_be_repeated(stage: Stage) -> None:
    for point in ("content.place.linked", "database.commit.before"):
        data = point.encode()
        with stage.store.writer("n", point) as writer:
            writer.write(data)
            failpoint.arm(point, "error:ENOSPC@1")
            try:
                with pytest.raises((ResourceExhausted, OSError)):
                    writer.commit()
            finally:
                failpoint.disarm(point)
            with pytest.raises(NotFound):
                stage.store.info("n", of_bytes(data))
            assert writer.commit() == of_bytes(data)
        assert stage.store.read("n", of_bytes(data)) == data


def test_a_closed_writer_says_so(stage: Stage) -> None:
    writer = stage.store.writer("n", "ref")
    writer.close()
    writer.close()
    with pytest.raises(Unavailable, match="closed"):
        writer.write(b"x")
    with pytest.raises(Unavailable, match="closed"):
        writer.commit()
