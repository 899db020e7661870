"""What a process pays for the floor it stands on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FORBIDDEN = {
    "asyncio", "collections", "contextlib", "dataclasses", "enum", "functools", "google", "grpc", "inspect", "logging",
    "re", "selectors", "socket", "subprocess", "threading", "types", "typing",
}  # fmt: skip


def loaded(statement: str) -> set[str]:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {statement}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-S", "-E", "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_all_of_wire_needs_but_a_handful_of_the_standard_library() -> None:
    modules = sorted(path.stem for path in (ROOT / "pycontainerd/wire").glob("*.py") if path.stem != "__init__")
    new = loaded("import " + ", ".join(f"pycontainerd.wire.{name}" for name in modules)) - loaded("import os")
    outside = {name for name in new if not name.startswith("pycontainerd")}
    assert not outside & FORBIDDEN
    assert outside <= {"__future__", "_socket", "_struct", "errno", "struct", "time"}


def test_a_module_of_messages_brings_no_other() -> None:
    new = {name for name in loaded("import pycontainerd.wire.messages.tasks") if "wire.messages." in name}
    assert new == {"pycontainerd.wire.messages.tasks"}
