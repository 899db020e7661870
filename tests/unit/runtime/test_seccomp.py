"""Seccomp profiles compiled here."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from pycontainerd.runtime.seccomp import Compiler, SeccompCache, Uncompilable
from tests.unit.runtime.bpf import decide

ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0
READ, CLONE, PERSONALITY, KEYCTL = 0, 56, 135, 250

PROFILE: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 38,
    "architectures": ["SCMP_ARCH_X86_64"],
    "syscalls": [
        {"names": ["read", "write", "no_such_call_anywhere"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["keyctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
        {
            "names": ["clone"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
        },
        {
            "names": ["personality"],
            "action": "SCMP_ACT_ALLOW",
            "args": [
                {"index": 0, "value": 0, "op": "SCMP_CMP_EQ"},
                {"index": 0, "value": 8, "op": "SCMP_CMP_EQ"},
            ],
        },
    ],
}


@pytest.fixture(scope="module")
def compiler() -> Compiler:
    try:
        return Compiler()
    except OSError:
        pytest.skip("libseccomp is not installed")


def test_the_program_decides_as_the_profile_says(compiler: Compiler) -> None:
    program = compiler.compile(PROFILE)
    assert decide(program, READ) == ALLOW
    assert decide(program, 999) == ERRNO | 38
    assert decide(program, KEYCTL) == ERRNO | 13
    assert decide(program, CLONE, [0x11]) == ALLOW
    assert decide(program, CLONE, [0x20000]) == ERRNO | 38
    assert [decide(program, PERSONALITY, [n]) for n in (0, 8, 9)] == [ALLOW, ALLOW, ERRNO | 38]
    assert decide(program, READ, arch=0x40000003) != ALLOW


@pytest.mark.parametrize(
    "change",
    [
        {"defaultAction": "SCMP_ACT_NONSENSE"},
        {"defaultAction": "SCMP_ACT_NOTIFY"},
        {"defaultAction": None},
        {"defaultAction": "SCMP_ACT_ALLOW"},  # with an errno
        {"defaultErrnoRet": "x"},
        {"architectures": ["SCMP_ARCH_PDP11"]},
        {"architectures": "SCMP_ARCH_X86"},
        {"syscalls": ["read"]},
        {"syscalls": [{"names": ["read"]}]},
        {"syscalls": [{"names": [1], "action": "SCMP_ACT_ALLOW"}]},
        {"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 9, "op": "SCMP_CMP_EQ"}]}]},
        {"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "op": "like"}]}]},
    ],
)
def test_what_cannot_be_compiled_is_left_to_the_runtime(
    compiler: Compiler, change: dict[str, Any], tmp_path: Path
) -> None:
    profile = {**PROFILE, **change}
    with pytest.raises(Uncompilable):
        compiler.compile(profile)
    assert SeccompCache(str(tmp_path)).get(profile) == ""
    assert list(tmp_path.iterdir()) == []


def test_the_cache_compiles_once_and_survives_a_restart(
    compiler: Compiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = str(tmp_path / "seccomp")
    program = SeccompCache(directory).get(PROFILE)
    assert base64.b64decode(program, validate=True) == compiler.compile(PROFILE)

    def compile_again(*_: object) -> bytes:
        raise AssertionError("compiled again")

    monkeypatch.setattr(Compiler, "compile", compile_again)
    assert SeccompCache(directory).get(PROFILE) == program


def test_a_damaged_file_is_compiled_anew(compiler: Compiler, tmp_path: Path) -> None:
    directory = str(tmp_path)
    program = SeccompCache(directory).get(PROFILE)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-4])
    assert SeccompCache(directory).get(PROFILE) == program


def test_profiles_that_differ_only_in_an_errno_do_not_share(tmp_path: Path) -> None:
    cache = SeccompCache(str(tmp_path))
    rules = [{**rule, "errnoRet": 1} if "errnoRet" in rule else rule for rule in PROFILE["syscalls"]]
    assert cache.get(PROFILE) != cache.get({**PROFILE, "syscalls": rules})


def test_the_disk_holds_a_bounded_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pycontainerd.runtime.seccomp._DISK_ENTRIES", 3)
    cache = SeccompCache(str(tmp_path))
    for errno in range(1, 7):
        cache.get({**PROFILE, "defaultErrnoRet": errno})
    assert len(os.listdir(tmp_path)) == 3


def test_a_profile_without_rules_needs_no_help(tmp_path: Path) -> None:
    assert SeccompCache(str(tmp_path)).get({"defaultAction": "SCMP_ACT_ALLOW"}) == ""
