"""The program as a whole: finding verbs, help, failures, and what starting it may cost."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from ctr import verbs
from ctr.flags import Command
from ctr.main import main

ROOT = Path(__file__).resolve().parents[3]
FORBIDDEN = {
    "argparse", "asyncio", "dataclasses", "datetime", "enum", "google", "grpc", "hashlib", "inspect", "json", "logging",
    "re", "signal", "socket", "ssl", "subprocess", "threading", "typing",
}  # fmt: skip


@pytest.mark.parametrize("verb", verbs.table(), ids=lambda verb: verb.module)
def test_each_verb_has_its_module_its_help_and_an_example(verb: verbs.Verb, capsys: pytest.CaptureFixture[str]) -> None:
    module = import_module("ctr." + verb.module)
    command: Command = module.COMMAND
    assert callable(module.run)
    assert command.example
    assert verb.spellings[0] == command.name
    for spelling in verb.spellings:
        assert main([*spelling.split(), "--help"]) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"Usage:  pyctr {command.name}")
        assert "Examples:" in out


@pytest.mark.parametrize("verb", verbs.table(), ids=lambda verb: verb.module)
def test_flag_tables_are_sound(verb: verbs.Verb) -> None:
    flags = import_module("ctr." + verb.module).COMMAND.flags
    names, shorts = [flag.name for flag in flags], [flag.short for flag in flags if flag.short]
    assert len(set(names)) == len(names)
    assert len(set(shorts)) == len(shorts)
    assert all(flag.help for flag in flags)


def test_both_spellings() -> None:
    assert verbs.find(["ps", "-a"])[1:] == ("ps", ["-a"])
    found, spelling, rest = verbs.find(["container", "ls", "-q"])
    assert found is not None
    assert (found.module, spelling, rest) == ("ps", "container ls", ["-q"])
    assert verbs.find(["nope"])[0] is None


def test_help_and_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 1
    assert main(["--help"]) == 0
    assert "Common Commands:" in capsys.readouterr().out
    assert main(["container", "--help"]) == 0
    assert "ls" in capsys.readouterr().out
    assert main(["psx"]) == 1
    assert "'psx' is not a pyctr command" in (err := capsys.readouterr().err)
    assert "did you mean 'pyctr ps'?" in err
    assert main(["ps", "--nope"]) == 125  # as Docker
    assert capsys.readouterr().err == "pyctr: unknown flag: --nope\nSee 'pyctr ps --help'.\n"
    assert main(["run"]) == 1
    assert main(["run", "--nope"]) == 125


def test_no_daemon_is_one_cause_and_one_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--address", "/nowhere/c.sock", "ps"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("pyctr: cannot connect to /nowhere/c.sock.ttrpc: No such file or directory\n")
    assert "--address" in err
    assert "Traceback" not in err
    assert main(["--address", "/nowhere/c.sock", "run", "busybox"]) == 125
    assert main(["--address", "/nowhere/c.sock", "--debug", "ps"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["ps"], ["run", "--rm", "busybox", "true"], ["exec", "x", "y"], ["start", "x"], ["rm", "x"], ["stop", "x"]],
)
def test_common_verbs_import_next_to_nothing(words: list[str]) -> None:
    """Up to the first request: the address leads nowhere, so that is where it ends."""
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from ctr.main import main; "
        f"main(['--address', '/nowhere', *{words!r}]); print(*sys.modules)"
    )
    result = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    assert not {name.partition(".")[0] for name in loaded} & FORBIDDEN
    assert len(loaded) <= 108
