"""Seccomp profiles compiled once: from ``linux.seccomp`` of a spec to the BPF program that crun would make of it.

crun compiles the profile with libseccomp on each create; a program handed over in an annotation is loaded as it is. The
rules below are crun's (``src/libcrun/seccomp.c``), call for call, so the program comes out byte for byte the same.
Whatever cannot be compiled here is left to the runtime, which then says what is wrong with it. Synchronous.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import hashlib
import json
import os
import platform
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from pycontainerd.runtime.bundle import replace_file

if TYPE_CHECKING:
    from collections.abc import Mapping

LIBRARY = "libseccomp.so.2"
_FORMAT = b"1"  # part of the key: raise it when the translation below changes
_MEMORY_ENTRIES = 64
_DISK_ENTRIES = 256
_EPERM = 1
_UNKNOWN_SYSCALL = -1  # __NR_SCMP_ERROR

_ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
_ERRNO_ACTIONS = {"SCMP_ACT_ERRNO": 0x00050000, "SCMP_ACT_TRACE": 0x7FF00000}
_OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}


class Uncompilable(ValueError):
    """Raised for a profile that is left to the runtime: malformed, or in need of a listener."""


class _Comparison(ctypes.Structure):
    """``struct scmp_arg_cmp`` of seccomp.h."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


class _Version(ctypes.Structure):
    _fields_ = (("major", ctypes.c_uint), ("minor", ctypes.c_uint), ("micro", ctypes.c_uint))


class Compiler:
    """libseccomp through ctypes. Raises OSError when the library is not there."""

    def __init__(self) -> None:
        lib = ctypes.CDLL(LIBRARY)
        lib.seccomp_version.restype = ctypes.POINTER(_Version)
        lib.seccomp_init.argtypes, lib.seccomp_init.restype = [ctypes.c_uint32], ctypes.c_void_p
        lib.seccomp_release.argtypes, lib.seccomp_release.restype = [ctypes.c_void_p], None
        lib.seccomp_arch_resolve_name.argtypes = [ctypes.c_char_p]
        lib.seccomp_arch_resolve_name.restype = ctypes.c_uint32
        lib.seccomp_arch_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
        lib.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
        lib.seccomp_rule_add_array.argtypes = [
            ctypes.c_void_p,
            ctypes.c_uint32,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.POINTER(_Comparison),
        ]
        lib.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
        self._lib = lib
        version = lib.seccomp_version().contents
        self.version = f"{version.major}.{version.minor}.{version.micro}"

    def compile(self, profile: Mapping[str, object]) -> bytes:
        """The BPF program of a profile. Raises Uncompilable."""
        default_name = _text(profile.get("defaultAction"), "defaultAction")
        default = _action(default_name, profile.get("defaultErrnoRet"))
        context = self._lib.seccomp_init(default)
        if not context:
            raise Uncompilable(f"libseccomp refuses default action {default_name}")
        try:
            for name in _list(profile.get("architectures")):
                self._add_architecture(context, _text(name, "architecture"))
            for rule in _list(profile.get("syscalls")):
                if not isinstance(rule, dict):
                    raise Uncompilable("a rule is not an object")
                self._add_rule(context, rule, default)
            return self._export(context)
        finally:
            self._lib.seccomp_release(context)

    def _add_architecture(self, context: int, name: str) -> None:
        token = self._lib.seccomp_arch_resolve_name(name.removeprefix("SCMP_ARCH_").lower().encode())
        if not token:
            raise Uncompilable(f"unknown architecture {name}")
        result = self._lib.seccomp_arch_add(context, token)
        if result < 0 and result != -17:  # EEXIST: the native one is there from the start
            raise Uncompilable(f"libseccomp refuses architecture {name}: {os.strerror(-result)}")

    def _add_rule(self, context: int, rule: Mapping[str, object], default: int) -> None:
        action = _action(_text(rule.get("action"), "action"), rule.get("errnoRet"))
        if action == default:
            return
        groups = _comparisons(_list(rule.get("args")))
        for item in _list(rule.get("names")):
            name = _text(item, "syscall name")
            number = self._lib.seccomp_syscall_resolve_name(name.encode())
            if number == _UNKNOWN_SYSCALL:
                continue  # profiles name the syscalls of every kernel; crun skips those it does not know
            for group in groups:
                array = (_Comparison * len(group))(*group)
                result = self._lib.seccomp_rule_add_array(context, action, number, len(group), array)
                if result < 0:
                    raise Uncompilable(f"libseccomp refuses the rule for {name}: {os.strerror(-result)}")

    def _export(self, context: int) -> bytes:
        fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
        with open(fd, "rb") as file:
            result = self._lib.seccomp_export_bpf(context, fd)
            if result < 0:
                raise Uncompilable(f"libseccomp cannot export the filter: {os.strerror(-result)}")
            file.seek(0)
            return file.read()


def _action(name: str, errno: object) -> int:
    if name in _ERRNO_ACTIONS:
        number = _EPERM if errno is None else errno
        if not isinstance(number, int) or number < 0:
            raise Uncompilable(f"errno {errno!r} is no number")
        return _ERRNO_ACTIONS[name] | (number & 0xFFFF)
    if errno is not None:
        raise Uncompilable(f"an errno makes no sense with {name}")
    if name not in _ACTIONS:
        raise Uncompilable(f"action {name} is left to the runtime")
    return _ACTIONS[name]


def _comparisons(args: list[object]) -> list[list[_Comparison]]:
    """The conditions of a rule, one inner list a libseccomp rule; an argument named twice means alternatives."""
    parsed = []
    for arg in args[:6]:
        if not isinstance(arg, dict) or arg.get("op") not in _OPERATORS:
            raise Uncompilable("a condition is malformed")
        index, value, second = (arg.get(key, 0) for key in ("index", "value", "valueTwo"))
        if not all(isinstance(n, int) and 0 <= n < 1 << 64 for n in (index, value, second)) or index >= 6:
            raise Uncompilable("a condition has a number out of range")
        parsed.append(_Comparison(index, _OPERATORS[arg["op"]], value, second))
    if len({item.arg for item in parsed}) == len(parsed):
        return [parsed]
    return [[item] for item in parsed]


def _list(value: object) -> list[object]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise Uncompilable("a list is expected")
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise Uncompilable(f"{what} is missing")
    return value


class SeccompCache:
    """Compiled profiles, base64 as crun wants them: in memory, and on disk under ``directory`` across restarts.

    The key holds everything the program depends on: profile, architecture, kernel and library version.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._memory: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()
        try:
            self._compiler: Compiler | None = Compiler()
        except OSError:
            self._compiler = None
        self._host = f"{platform.machine()} {platform.release()}".encode()

    def get(self, profile: Mapping[str, object]) -> str:
        """The program of a profile; empty when it is left to the runtime."""
        if self._compiler is None or not _list_or_empty(profile.get("syscalls")):
            return ""
        key = self._key(profile, self._compiler.version)
        with self._lock:
            if key in self._memory:
                self._memory.move_to_end(key)
                return self._memory[key]
            program = self._load(key)
            if not program:
                program = self._compile(profile)
                self._save(key, program)
            self._memory[key] = program
            if len(self._memory) > _MEMORY_ENTRIES:
                self._memory.popitem(last=False)
            return program

    def _key(self, profile: Mapping[str, object], version: str) -> str:
        text = json.dumps(profile, sort_keys=True, separators=(",", ":")).encode()
        return hashlib.sha256(b"\0".join((_FORMAT, version.encode(), self._host, text))).hexdigest()

    def _compile(self, profile: Mapping[str, object]) -> str:
        assert self._compiler is not None
        try:
            return base64.b64encode(self._compiler.compile(profile)).decode()
        except (Uncompilable, OSError):
            return ""

    def _load(self, key: str) -> str:
        try:
            with open(f"{self._directory}/{key}", "rb") as file:
                data = file.read(1 << 20)
        except OSError:
            return ""
        digest, _, program = data.partition(b"\n")
        # The file lies in a private directory; the sum guards against one that a power loss cut short.
        return program.decode("ascii", "replace") if digest == hashlib.sha256(program).hexdigest().encode() else ""

    def _save(self, key: str, program: str) -> None:
        if not program:
            return
        data = program.encode()
        with contextlib.suppress(OSError):
            os.makedirs(self._directory, 0o700, exist_ok=True)
            self._evict()
            replace_file(f"{self._directory}/{key}", hashlib.sha256(data).hexdigest().encode() + b"\n" + data)

    def _evict(self) -> None:
        with os.scandir(self._directory) as entries:
            files = sorted((entry.stat().st_mtime, entry.path) for entry in entries)
        for _, path in files[: max(0, len(files) - _DISK_ENTRIES + 1)]:
            os.unlink(path)


def _list_or_empty(value: object) -> list[object]:
    return value if isinstance(value, list) else []
