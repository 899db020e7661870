"""AppArmor on this host: whether the kernel has it, which profiles are loaded, and loading one."""

from __future__ import annotations

import os
import shutil

from pycontainerd.linux import process

_ENABLED = "/sys/module/apparmor/parameters/enabled"
_PROFILES = "/sys/kernel/security/apparmor/profiles"
_PARSER = "apparmor_parser"
_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
_LIMIT = 30.0


def enabled(path: str = _ENABLED) -> bool:
    """Whether the kernel confines processes by AppArmor profiles."""
    return _read(path).strip() == "Y"


def loaded(path: str = _PROFILES) -> set[str]:
    """The names of the profiles the kernel knows; empty also for users who may not see them."""
    return {line.rpartition(" (")[0] for line in _read(path).splitlines() if " (" in line}


def load(text: str) -> None:
    """Load the profiles of ``text``, replacing older ones of the same names.

    Raises OSError: ENOENT without apparmor_parser (Debian's package apparmor), EINVAL with the parser's words.
    """
    parser = shutil.which(_PARSER, path=os.environ.get("PATH", "") + ":" + _PATH)
    if parser is None:
        raise FileNotFoundError(2, "not installed (Debian: apt install apparmor)", _PARSER)
    # Not from its cache, and not into it: the text is ours and comes with each version anew.
    result = process.run([parser, "--replace", "--skip-cache"], input=text.encode(), timeout=_LIMIT, merge=True)
    if result.code:
        raise OSError(22, " ".join(result.stdout.decode("utf-8", "replace").split()), _PARSER)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
