"""What the kernel says of AppArmor, and the profile as the real parser sees it."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from pycontainerd.core.apparmor import NAME, profile
from pycontainerd.linux import apparmor

if TYPE_CHECKING:
    from pathlib import Path

LOADED = "docker-default (enforce)\n/usr/bin/man (enforce)\nnvidia modprobe (kmod) (unconfined)\n"


def test_whether_the_kernel_has_it(tmp_path: Path) -> None:
    there = tmp_path / "enabled"
    there.write_text("Y\n")
    assert apparmor.enabled(str(there))
    there.write_text("N\n")
    assert not apparmor.enabled(str(there))
    assert not apparmor.enabled(str(tmp_path / "no such file"))


def test_which_profiles_are_loaded(tmp_path: Path) -> None:
    file = tmp_path / "profiles"
    file.write_text(LOADED)
    assert apparmor.loaded(str(file)) == {"docker-default", "/usr/bin/man", "nvidia modprobe (kmod)"}
    assert apparmor.loaded(str(tmp_path / "no such file")) == set()


def test_the_profile_compiles() -> None:
    parser = shutil.which("apparmor_parser", path="/usr/sbin:/sbin")
    if parser is None:
        pytest.skip("no apparmor_parser")
    command = [parser, "--skip-kernel-load", "--skip-cache", "--names"]
    done = subprocess.run(command, input=profile(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, NAME), done.stderr


def test_what_the_parser_complains_of_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    parser = tmp_path / "apparmor_parser"
    parser.write_text("#!/bin/sh\ncat >/dev/null\necho 'syntax error in line 1' >&2\nexit 1\n")
    parser.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(OSError, match="syntax error in line 1"):
        apparmor.load("profile x {")
