from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.runtimes import RuntimeConfig
from pycontainerd.daemon.config import Config, dump, load

if TYPE_CHECKING:
    from pathlib import Path


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return str(path)


def test_the_default_survives_dump_and_load(tmp_path: Path) -> None:
    assert load(written(tmp_path, dump(Config()))) == Config()


def test_everything_can_be_set(tmp_path: Path) -> None:
    text = """
        root = "/a"
        oom_score = -500
        group = 7
        [snapshots]
        overlay_options = ["volatile"]
        [gc]
        share = 0.1
        startup = 2
        [tracing]
        endpoint = "http://c:4317"
        headers = {authorization = "x"}
        [runtimes."io.containerd.runc.v2"]
        binary = "runc"
        systemd_cgroup = true
    """
    config = load(written(tmp_path, text))
    assert (config.root, config.oom_score, config.group) == ("/a", -500, 7)
    assert config.snapshots.overlay_options == ("volatile",)
    assert (config.gc.share, config.gc.startup) == (0.1, 2.0)
    assert config.tracing.headers == {"authorization": "x"}
    assert config.runtimes == {"io.containerd.runc.v2": RuntimeConfig(binary="runc", systemd_cgroup=True)}
    assert load(written(tmp_path, dump(config))) == config


def test_the_command_line_goes_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, 'root = "/file"\n[log]\nformat = "json"\n')
    config = load(path, {"root": "/flag", "log.level": "debug"})
    assert (config.root, config.log.level, config.log.format) == ("/flag", "debug", "json")


def test_sockets_follow_the_state_directory_unless_given() -> None:
    assert Config().socket == "/run/pycontainerd/containerd.sock"
    assert Config(state="/s").ttrpc == "/s/containerd.sock.ttrpc"
    assert Config(address="/x.sock").socket == "/x.sock"


def test_relative_directories_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(written(tmp_path, 'root = "data"')).root == str(tmp_path / "data")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rooot = 1", ["rooot", "did you mean root?"]),
        ("[log]\nlevell = 1", ["log.levell", "did you mean log.level?"]),
        ("qqq = 1", ["qqq", "there are: root"]),
        ("root = 1", ["root", "a string", "not 1"]),
        ("group = true", ["group", "a whole number"]),
        ("log = 1", ["log", "a table"]),
        ('[log]\nlevel = "loud"', ["log.level", "debug, info, warn, error"]),
        ("[gc]\nshare = 0", ["gc.share", "between"]),
        ("[snapshots]\noverlay_options = 'x'", ["snapshots.overlay_options", "a list"]),
        ("[runtimes.x]\nbin = 'y'", ['runtimes."x".bin', "did you mean"]),
        ("oom_score = 5000", ["oom_score", "between -1000 and 1000"]),
        ("= 1", ["not valid TOML"]),
    ],
)
def test_mistakes_name_the_key_the_file_and_the_remedy(tmp_path: Path, text: str, words: list[str]) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InvalidArgument) as raised:
        load(path)
    for word in [*words, path]:
        assert word in str(raised.value)


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot be read: No such file"):
        load(str(tmp_path / "none.toml"))
    (tmp_path / "dir").mkdir()
    with pytest.raises(InvalidArgument, match="cannot be read"):
        load(str(tmp_path / "dir"))
