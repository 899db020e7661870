"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("pycontainerd", "shim", "snapshotter", "ctr")
GENERATED = ("pycontainerd/api/", "pycontainerd/wire/messages/")
FILE_LIMIT = 600
FUNCTION_LIMIT = 60
SHIM_FORBIDDEN = {"asyncio", "google", "grpc", "structlog", "typing", "dataclasses", "logging", "subprocess", "enum"}
SHIM_MODULES = 75


def sources() -> list[Path]:
    """Every hand-written module of the product."""
    found = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return [p for p in found if not p.relative_to(ROOT).as_posix().startswith(GENERATED)]


@pytest.mark.parametrize("path", sources(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_module_fits_in_one_head(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= FILE_LIMIT
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a module says what it owns"
    if path.name == "__init__.py":
        assert len(tree.body) == 1, "an __init__ holds a docstring and nothing else"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            doc = node.body[0] if ast.get_docstring(node) else None
            first = doc.end_lineno if doc and doc.end_lineno else node.lineno
            assert node.end_lineno - first <= FUNCTION_LIMIT, f"{node.name} is too long"


def modules_after(statement: str) -> set[str]:
    """The modules a bare interpreter holds after one import statement."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {statement}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-S", "-E", "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_shim_template_imports_almost_nothing() -> None:
    loaded = modules_after("import shim.template")
    assert not {name for name in loaded if name.split(".")[0] in SHIM_FORBIDDEN}
    outside = {name for name in loaded if name.split(".")[0] not in {"shim", "pycontainerd"}}
    assert len(outside) <= SHIM_MODULES


def test_the_daemon_leaves_netlink_to_the_agent() -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import pycontainerd.daemon.wiring; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pyroute2" not in done.stdout.split()


def test_no_product_module_forks_or_spawns_behind_our_back() -> None:
    allowed = {"pycontainerd/linux/process.py"}
    for path in sources():
        name = path.relative_to(ROOT).as_posix()
        if name in allowed or name.startswith(("shim/", "ctr/")):
            continue
        tree = ast.parse(path.read_text())
        imported = {alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
        assert not imported & {"subprocess", "multiprocessing"}, name


def test_every_error_has_a_code() -> None:
    from pycontainerd.core import errors
    from pycontainerd.rpc.errors import code_of

    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.PycontainerdError)]
    assert len(classes) > 12
    for cls in classes:
        assert code_of(cls("thing")) is not None, cls
