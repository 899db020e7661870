"""The state machine of Content.Write on the real store."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from pycontainerd.api.content.v1 import content_pb2 as pb
from pycontainerd.core.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OutOfRange,
    Unavailable,
)
from pycontainerd.services.ingest import Ingest
from pycontainerd.stores.content import Content
from pycontainerd.stores.database import Database
from pycontainerd.stores.schema import STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STAT, WRITE, COMMIT = pb.STAT, pb.WRITE, pb.COMMIT
HELLO = f"sha256:{hashlib.sha256(b'hello').hexdigest()}"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Content]:
    database = Database(str(tmp_path / "db"), STEPS)
    yield Content(database, str(tmp_path / "content"))
    database.close()


def message(action: pb.WriteAction, data: bytes = b"", **more: Any) -> pb.WriteContentRequest:
    return pb.WriteContentRequest(action=action, ref="r", data=data, **more)


def opened(store: Content, namespace: str = "n", **more: Any) -> Ingest:
    return Ingest.open(store, namespace, message(STAT, **more), lease="")


def test_stat_write_commit(store: Content) -> None:
    ingest = opened(store, total=5, expected=HELLO)
    first = ingest.apply(message(STAT, total=5, expected=HELLO))
    assert (first.action, first.offset, first.total) == (STAT, 0, 5)
    assert first.digest == f"sha256:{hashlib.sha256().hexdigest()}"
    assert ingest.apply(message(WRITE, b"hell")).offset == 4
    done = ingest.apply(message(COMMIT, b"o", offset=4, labels={"a": "b"}))
    assert (done.offset, done.digest) == (5, HELLO)
    assert store.info("n", HELLO).labels == {"a": "b"}
    ingest.close()


def test_offset_zero_starts_over(store: Content) -> None:
    ingest = opened(store)
    ingest.apply(message(WRITE, b"wrong"))
    assert ingest.apply(message(WRITE, b"hell")).offset == 4
    assert ingest.apply(message(COMMIT, b"o", offset=4)).digest == HELLO
    ingest.close()


def test_a_commit_without_its_offset_truncates_too(store: Content) -> None:
    ingest = opened(store)
    ingest.apply(message(WRITE, b"wrong"))
    assert ingest.apply(message(COMMIT, b"hello")).digest == HELLO
    ingest.close()


def test_a_gap_or_an_overlap_is_out_of_range(store: Content) -> None:
    ingest = opened(store)
    ingest.apply(message(WRITE, b"hell"))
    for offset in (3, 5):
        with pytest.raises(OutOfRange):
            ingest.apply(message(WRITE, b"o", offset=offset))
    ingest.close()


def test_ending_early_keeps_the_ingest_for_a_resume(store: Content) -> None:
    ingest = opened(store)
    ingest.apply(message(WRITE, b"hell"))
    ingest.close()
    again = opened(store)
    assert again.apply(message(STAT)).offset == 4
    assert again.apply(message(COMMIT, b"o", offset=4)).digest == HELLO
    again.close()


@pytest.mark.parametrize("wrong", [{"total": 4}, {"expected": "sha256:" + "0" * 64}])
def test_a_failed_commit_keeps_the_ingest(store: Content, wrong: dict[str, Any]) -> None:
    ingest = opened(store)
    ingest.apply(message(WRITE, b"hello"))
    with pytest.raises(FailedPrecondition):
        ingest.apply(message(COMMIT, offset=5, **wrong))
    ingest.close()
    assert store.status("n", "r").offset == 5


def test_a_digest_declared_late_that_is_here_ends_the_ingest(store: Content) -> None:
    ingest = opened(store)
    ingest.apply(message(COMMIT, b"hello"))
    ingest.close()
    second = opened(store)
    second.apply(message(WRITE, b"he"))
    with pytest.raises(AlreadyExists):
        second.apply(message(WRITE, b"llo", offset=2, expected=HELLO))
    second.close()
    with pytest.raises(NotFound):
        store.status("n", "r")


def test_one_writer_a_ref(store: Content) -> None:
    ingest = opened(store)
    with pytest.raises(Unavailable):
        opened(store)
    ingest.close()
    opened(store).close()


def test_shared_bytes_start_complete_and_commit_without_data(store: Content) -> None:
    ingest = opened(store)
    ingest.apply(message(COMMIT, b"hello"))
    ingest.close()
    other = opened(store, "other", expected=HELLO)
    status = other.apply(message(STAT, expected=HELLO))
    assert status.offset == 5
    assert other.apply(message(COMMIT, offset=5, total=5, expected=HELLO)).digest == HELLO
    other.close()
    assert store.info("other", HELLO).size == 5


@pytest.mark.parametrize("bad", [{"total": -1}, {"offset": -1, "action": WRITE}, {"action": 7}])
def test_nonsense_is_refused(store: Content, bad: dict[str, Any]) -> None:
    ingest = opened(store)
    with pytest.raises(InvalidArgument):
        ingest.apply(pb.WriteContentRequest(**{"ref": "r", **bad}))
    ingest.close()
