"""Spellings, help, and how wrong usage is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.parity.cli import Cli

pytestmark = pytest.mark.root

VERBS = """attach commit cp create diff events exec export history images import info inspect kill load logs
    pause port ps
    pull rename restart rm rmi run save search start stats stop tag top unpause update version wait""".split()
GROUPED = """container:attach container:commit container:cp container:create container:diff container:exec
    container:export
    container:inspect container:kill container:logs container:ls container:pause container:port container:prune
    container:rename container:restart container:rm container:run container:start container:stats container:stop
    container:top container:unpause container:update container:wait image:history image:import image:inspect image:load
    image:ls image:prune image:pull image:rm image:save image:tag network:connect network:create network:disconnect
    network:inspect network:ls network:prune network:rm volume:create volume:inspect volume:ls volume:prune volume:rm
    system:df system:events system:info system:prune""".split()


def test_every_verb_has_help(cli: Cli) -> None:
    for verb in VERBS + GROUPED:
        done = cli.run(*verb.split(":"), "--help")
        assert done.returncode == 0, verb
        assert "Usage:" in done.stdout, verb


def _flags(cli: Cli, verb: str) -> set[str]:
    words = cli.ok(*verb.split(":"), "--help").replace(",", " ").split()
    return {word.partition("=")[0].partition("[")[0] for word in words if word.startswith("--")}


NOT_OURS = {
    "version": "--kubeconfig",
}
"""Flags that we lack: of other systems, and gone from Docker by now."""


@pytest.mark.parametrize("verb", [*VERBS, *(verb for verb in GROUPED if verb.partition(":")[0] != "container")])
def test_flags_are_dockers(cli: Cli, sides: dict[str, Cli], verb: str) -> None:
    if cli.is_docker:
        assert _flags(cli, verb) is not None
        return
    missing = _flags(sides["docker"], verb) - _flags(cli, verb) - set(NOT_OURS.get(verb, "").split())
    assert missing - {"--help"} == set()


REFUSED = {
    "create": ["run", "--kernel-memory", "1g", "busybox"],
    "update": ["update", "--cpu-rt-runtime", "1000", "standing"],
    "ipam": ["network", "create", "--ipam-driver", "null", "par-x"],
    "ipam-opt": ["network", "create", "--ipam-opt", "a=b", "par-x"],
    "scope": ["network", "create", "--scope", "swarm", "par-x"],
    "checkpoint": ["start", "--checkpoint", "x", "standing"],
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_offered_is_said_in_a_sentence(cli: Cli, case: str) -> None:
    if cli.is_docker:
        return
    said = cli.fails(125 if case == "create" else 1, *REFUSED[case])
    assert "is not offered" in said
    assert len(said.splitlines()) == 2  # what, and what instead


WRONG_FLAGS = {
    "unknown": ["ps", "--no-such"],
    "unknown-short": ["ps", "-Z"],
    "number": ["ps", "-n", "x"],
    "truth": ["ps", "--all=maybe"],
    "no-value": ["ps", "--format"],
    "size": ["update", "-m", "1x", "par-nobody"],
    "program": ["--no-such", "ps"],
}


@pytest.mark.parametrize("case", WRONG_FLAGS)
def test_wrong_flags(cli: Cli, case: str) -> None:
    assert "--help" in cli.fails(125, *WRONG_FLAGS[case])


COUNTS = {
    "exactly-1": (["attach"], "requires exactly 1 argument"),
    "exactly-2": (["rename", "x"], "requires exactly 2 arguments"),
    "at-least-1": (["stop"], "requires at least 1 argument"),
    "none": (["ps", "x"], "accepts no arguments"),
    "tag": (["tag", "x"], "requires exactly 2 arguments"),
    "cp": (["cp", "x"], "requires exactly 2 arguments"),
    "logs": (["logs", "a", "b"], "requires exactly 1 argument"),
    "wait": (["wait"], "requires at least 1 argument"),
    "diff": (["diff"], "requires exactly 1 argument"),
    "history": (["history"], "requires exactly 1 argument"),
}


@pytest.mark.parametrize("case", COUNTS)
def test_argument_counts(cli: Cli, case: str) -> None:
    words, message = COUNTS[case]
    assert message in cli.fails(1, *words).replace('" ', "")  # the program's name stands before it


MISSING = {
    "attach": ["attach"], "commit": ["commit"], "diff": ["diff"], "export": ["export"],
    "kill": ["kill"], "logs": ["logs"], "pause": ["pause"], "port": ["port"], "restart": ["restart"], "start":
    ["start"],
    "stop": ["stop"], "top": ["top"], "unpause": ["unpause"], "wait": ["wait"], "rm": ["rm"],
    "update": ["update", "-m", "64m"], "stats": ["stats", "--no-stream"],
}  # fmt: skip


@pytest.mark.parametrize("case", MISSING)
def test_containers_that_are_not_there(cli: Cli, case: str) -> None:
    assert "No such container: par-nobody" in cli.fails(1, *MISSING[case], "par-nobody")


@pytest.mark.parametrize("words", [["rmi"], ["history"], ["save"], ["image", "inspect"]])
def test_images_that_are_not_there(cli: Cli, words: list[str]) -> None:
    said = cli.fails(1, *words, "par-nobody")
    assert "par-nobody" in said
    assert "o such image" in said or "not exist" in said


def test_unknown_command(cli: Cli) -> None:
    assert "'nonsense' is not a" in cli.fails(1, "nonsense")


def test_unknown_flag(cli: Cli) -> None:
    assert "unknown flag: --nonsense" in cli.run("ps", "--nonsense").stderr


def test_boolean_flags_take_values(cli: Cli) -> None:
    assert cli.ok("ps", "--all=false", "-q=true", "--filter", "name=par-nobody") == ""
    assert cli.run("ps", "--all=perhaps").returncode != 0
