"""The compiled protos are the contract: the committed dump always, the collected facts where they are at hand."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "proto"))

from generator import api, contract  # noqa: E402 - proto/ is a folder of sources and scripts, not a package

if TYPE_CHECKING:
    from generator.contract import Tables

FACTS = Path(os.environ.get("PYCONTAINERD_FACTS") or ROOT.parent / "shared" / "facts")
OURS = "pycontainerd."
LATER = {"cri"}  # areas of the facts that have no proto here yet

needs_facts = pytest.mark.skipif(not FACTS.is_dir(), reason=f"no facts at {FACTS}; set PYCONTAINERD_FACTS")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return contract.tables(api.descriptor_set(tmp_path_factory.mktemp("descriptors")))


@cache
def facts(name: str) -> list[dict[str, str]]:
    with (FACTS / name).open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [row for row in rows if row["area"] not in LATER]


def theirs(rows: list[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """Rows of the compiled contract that are not about services of our own."""
    return {row for row in rows if not row[0].startswith(OURS)}


def chosen(name: str, *columns: str) -> set[tuple[str, ...]]:
    return {tuple(row[column] for column in columns) for row in facts(name)}


def test_the_sources_compile_to_what_the_dump_says(compiled: Tables) -> None:
    for name, (header, rows) in compiled.items():
        lines = (ROOT / contract.FOLDER / name).read_text().splitlines()
        assert [tuple(line.split("\t")) for line in lines] == [header, *rows], f"{name}: run `python proto/generate.py`"


def test_what_is_generated_is_what_is_committed() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "proto/generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_table_of_the_dump_is_checked(compiled: Tables) -> None:
    assert {path.name for path in (ROOT / contract.FOLDER).iterdir()} == set(compiled)


@needs_facts
def test_services_and_methods_are_as_found(compiled: Tables) -> None:
    wanted = {
        (f"{row['package']}.{row['service']}", *(row[column] for column in columns))
        for row in facts("services.tsv")
        for columns in [("method", "request_type", "response_type", "client_streaming", "server_streaming")]
    }
    assert theirs(compiled["methods.tsv"][1]) == wanted


@needs_facts
def test_messages_are_as_found(compiled: Tables) -> None:
    wanted = chosen("message_names.tsv", "message", "n_fields")
    assert {row[:2] for row in theirs(compiled["messages.tsv"][1])} == wanted
    reserved = chosen("reserved.tsv", "message", "what")
    assert {(row[0], row[2]) for row in theirs(compiled["messages.tsv"][1]) if row[2]} == reserved


@needs_facts
def test_fields_are_as_found(compiled: Tables) -> None:
    wanted = chosen("messages.tsv", "message", "number", "field", "type", "label", "oneof", "deprecated")
    assert theirs(compiled["fields.tsv"][1]) == wanted


@needs_facts
def test_enums_and_extensions_are_as_found(compiled: Tables) -> None:
    assert theirs(compiled["enums.tsv"][1]) == chosen("enums.tsv", "enum", "number", "value", "deprecated")
    wanted = chosen("extensions.tsv", "extension", "extendee", "number", "type")
    assert theirs(compiled["extensions.tsv"][1]) == wanted
