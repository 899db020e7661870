"""Completion without a daemon: commands, flags, words."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from ctr.completing import candidates
from ctr.completion import SCRIPTS
from ctr.context import Context
from ctr.main import GLOBAL_FLAGS, main


def _words(*words: str) -> list[str]:
    context = Context()
    context.address = "/nowhere/c.sock"
    return [word for word, _ in candidates(context, GLOBAL_FLAGS, list(words))]


def test_commands() -> None:
    assert {"run", "ps", "network", "volume"} <= set(_words(""))
    assert _words("st") == ["start", "stats", "stop"]
    assert _words("--namespace", "x", "inf") == ["info"]
    assert _words("container", "pru") == ["prune"]
    assert _words("network", "con") == ["connect"]


def test_flags_and_their_words() -> None:
    assert "--all" in _words("ps", "--")
    assert "--restart" in _words("run", "--rest")
    assert _words("run", "--restart", "un") == ["unless-stopped"]
    assert "--debug" in _words("--d")
    assert _words("run", "busybox", "--re") == []


def test_no_daemon_completes_nothing() -> None:
    assert _words("stop", "") == []
    assert _words("nonsense", "x", "") == []


@pytest.mark.parametrize("shell", SCRIPTS)
def test_scripts(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "__complete" in script
    if shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=script.encode(), check=False).returncode == 0


def test_no_such_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "cmd.exe"]) == 1
    assert "bash, fish, zsh" in capsys.readouterr().err
