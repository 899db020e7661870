"""Fixtures every test may ask for, and the machine left as it was found."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.support.residue import Residue

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

# Neither may depend on how busy the machine is.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
pytest_plugins = ["tests.support.daemon", "tests.support.peers"]
_RESIDUE = pytest.StashKey[Residue]()
_LEFT = pytest.StashKey[dict[str, int]]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Look at the machine before the first test, unless others work on it too and want to keep what is theirs."""
    if os.geteuid() == 0 and not os.environ.get("PYCONTAINERD_NO_SWEEP"):
        session.config.stash[_RESIDUE] = Residue()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Take away what tests that kill things have left."""
    residue = session.config.stash.get(_RESIDUE, None)
    if residue is not None:
        session.config.stash[_LEFT] = residue.remove()


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Name it."""
    left = config.stash.get(_LEFT, {})
    if any(left.values()):
        terminalreporter.write_line(
            "left by tests, and removed: " + ", ".join(f"{n} {what}" for what, n in left.items())
        )
