from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from pycontainerd.core.errors import FailedPrecondition, InvalidArgument
from pycontainerd.daemon.sockets import claim, prepare_directory, release

if TYPE_CHECKING:
    from pathlib import Path


def bound(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    return listener


def test_a_free_path_gets_its_directory(tmp_path: Path) -> None:
    claim(str(tmp_path / "a/b/c.sock"))
    assert (tmp_path / "a/b").is_dir()


def test_a_socket_nobody_listens_on_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    bound(path).close()
    claim(str(path))
    assert not path.exists()


def test_one_that_answers_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    with bound(path) as listener:
        listener.listen()
        with pytest.raises(FailedPrecondition, match="another daemon listens"):
            claim(str(path))
        assert path.exists()


def test_something_else_at_the_path_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    path.write_text("mine")
    with pytest.raises(InvalidArgument, match="not a socket"):
        claim(str(path))
    assert path.read_text() == "mine"


def test_a_path_that_is_too_long_names_the_limit() -> None:
    with pytest.raises(InvalidArgument, match="at most 107"):
        claim("/tmp/" + "x" * 120)


def test_a_file_in_the_way_of_a_directory(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(InvalidArgument, match="cannot be made"):
        prepare_directory(str(tmp_path / "f" / "d"), 0o711)


def test_releasing_twice_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    bound(path).close()
    release(str(path))
    release(str(path))
    assert not os.path.lexists(path)
