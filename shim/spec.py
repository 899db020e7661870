"""The few things a shim wants to know of a container's config.json; everything else is the runtime's business.

The file belongs to the client and is written back only when it names a user for us to look up.
"""

from __future__ import annotations

from pycontainerd.linux.fds import read_file, replace_file
from shim.errors import from_oserror, invalid
from shim.jsontext import dumps, first, loads, skip_space
from shim.users import GROUP_ADD, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

LIMIT = 32 << 20
GROUP_ANNOTATIONS = ("io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id")


class Spec:
    """What was found: the groups' path, "" for none, whether the container has a pid namespace of its own, and whether
    the others are named."""

    __slots__ = ("cgroups_path", "intel_rdt", "own_oom_score", "own_pids", "poststart", "poststop")

    def __init__(self, text: str) -> None:
        self.own_pids = _own_pids(text)
        self.own_oom_score = '"oomScoreAdj"' in text
        self.poststart = '"poststart"' in text
        self.poststop = '"poststop"' in text
        self.cgroups_path = _cgroups_path(text)
        self.intel_rdt = '"intelRdt"' in text


def load(bundle: str) -> dict[str, Any]:
    """The bundle's config.json. Raises RpcError saying what is wrong with it."""
    path = f"{bundle}/config.json"
    try:
        document = loads(_read(bundle))
    except ValueError as error:
        raise invalid(f"container spec {path}: {error}") from None
    if not isinstance(document, dict):
        raise invalid(f"container spec {path} is no JSON object")
    return document


def _read(bundle: str) -> bytes:
    try:
        return read_file(f"{bundle}/config.json", LIMIT)
    except OSError as error:
        raise from_oserror("container spec", error) from None


def prepare(bundle: str, rootfs: str) -> Spec:
    """Read the spec; look up and write back a user name it holds. `rootfs` is mounted. Raises RpcError."""
    text = _read(bundle).decode("utf-8", "replace")
    if '"username"' in text:
        _resolve_user(bundle, rootfs)
    elif not text.lstrip().startswith("{"):
        load(bundle)  # says what is wrong
    return Spec(text)


def _resolve_user(bundle: str, rootfs: str) -> None:
    document = load(bundle)
    process = document.get("process")
    if isinstance(process, dict) and resolve(process, root_of(document, bundle, rootfs), group_add_of(document)):
        try:
            replace_file(f"{bundle}/config.json", dumps(document).encode(), 0o644)
        except OSError as error:
            raise from_oserror("container spec", error) from None


def root_of(document: dict[str, Any], bundle: str, rootfs: str) -> str:
    """The container's root directory on the host."""
    root = _dict(document, "root").get("path")
    if not isinstance(root, str) or not root:
        return rootfs
    return root if root.startswith("/") else f"{bundle}/{root}"


def group_add_of(document: dict[str, Any]) -> str:
    """Further groups for the container's processes, as our client asks for them."""
    return str(annotations_of(document).get(GROUP_ADD, ""))


def group_of(bundle: str) -> str:
    """The group whose members share a shim, "" for none. A spec that cannot be read belongs to none."""
    try:
        annotations = annotations_of(load(bundle))
    except Exception:  # noqa: BLE001 - create will say what is wrong with the spec
        return ""
    for name in GROUP_ANNOTATIONS:
        group = annotations.get(name)
        if isinstance(group, str) and group:
            return group
    return ""


def annotations_of(document: dict[str, Any]) -> dict[str, Any]:
    """The annotations, empty when there are none."""
    return _dict(document, "annotations")


def _own_pids(text: str) -> bool:
    """Whether the text of a spec gives the container a pid namespace of its own."""
    for value in _values(text, "namespaces"):
        for namespace in value if isinstance(value, list) else ():
            if isinstance(namespace, dict) and namespace.get("type") == "pid":
                return not namespace.get("path")
    return False


def _cgroups_path(text: str) -> str:
    """The path of the groups that the text of a spec asks for, "" for none, or for several answers."""
    found = [value for value in _values(text, "cgroupsPath") if isinstance(value, str)]
    return found[0] if len(found) == 1 else ""


def _values(text: str, key: str) -> Iterator[Any]:
    """What stands behind a key, wherever in the text of a spec it is one.

    Specs are long (the seccomp profile), and parsing one for this would cost each shim several times its length in
    memory. So the value is parsed alone, where its key stands: a key cannot be part of a string, in which the quotes
    would be escaped.
    """
    quoted = f'"{key}"'
    at = -1
    while (at := text.find(quoted, at + 1)) >= 0:
        colon = skip_space(text, at + len(quoted))
        if text.startswith(":", colon):
            yield first(text, colon + 1)


def _dict(document: dict[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}
