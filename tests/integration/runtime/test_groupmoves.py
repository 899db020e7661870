"""Moves between control groups that change nothing: made while they are wanted, gone without a trace."""

from __future__ import annotations

import os
import threading
import time

import pytest

from pycontainerd.linux import cgroup
from pycontainerd.runtime.groupmoves import GroupMoves, Place

pytestmark = pytest.mark.root


def test_a_move_leaves_the_process_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pycontainerd.runtime.groupmoves._GROUP", f"pycontainerd.moves.test-{os.getpid()}")
    before, failed, folders = cgroup.own(), [], []

    def work() -> None:
        try:
            place = Place.find(cgroup.mounted(), cgroup.own())
            folders.append(place.folder)
            place.move()
            place.move()
            place.close()
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failed
    assert cgroup.own() == before
    for folder in filter(None, folders):
        eventually_removed(folder)


def eventually_removed(folder: str) -> None:
    """Remove the group of a thread that has just ended."""
    for _ in range(100):
        try:
            os.rmdir(folder)
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise AssertionError(f"{folder} cannot be removed")


def test_the_group_is_removed_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pycontainerd.runtime.groupmoves._GROUP", f"pycontainerd.moves.test-{os.getpid()}")
    moved: list[Place] = []
    move = Place.move

    def counted(self: Place) -> None:
        moved.append(self)
        move(self)

    monkeypatch.setattr(Place, "move", counted)
    moves = GroupMoves()
    try:
        with moves.expected(), moves.expected():
            time.sleep(0.1)
        time.sleep(0.1)
        made = len(moved)
        assert made > 3
        time.sleep(0.1)
        assert len(moved) == made, "nobody expects anything"
        folder = moved[0].folder
        assert not folder or os.path.isdir(folder)
    finally:
        moves.close()
    assert not folder or not os.path.exists(folder)


def test_it_costs_nothing_where_there_are_no_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "mounted", lambda: cgroup.Hierarchies({}, None))
    moves = GroupMoves()
    with moves.expected():
        time.sleep(0.02)
    with moves.expected():
        pass
    moves.close()
    moves.close()
