"""The few things a shim wants to know of a container's config.json; everything else is the runtime's business.

The file belongs to the client and is written back only when it names a user for us to look up.
"""

from __future__ import annotations

from pycontainerd.linux.fds import read_file, replace_file
from shim.errors import from_oserror, invalid
from shim.jsontext import dumps, first, loads
from shim.users import GROUP_ADD, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LIMIT = 32 << 20
_NAMESPACES = 8192
GROUP_ANNOTATIONS = ("io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id")


class Spec:
    """What was found: whether the container has a pid namespace of its own, an OOM score of its own, poststop hooks."""

    __slots__ = ("own_oom_score", "own_pids", "poststop")

    def __init__(self, own_pids: bool, own_oom_score: bool, poststop: bool = False) -> None:
        self.own_pids = own_pids
        self.own_oom_score = own_oom_score
        self.poststop = poststop


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
    return Spec(_own_pids(text), '"oomScoreAdj"' in text, '"poststop"' in text)


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
    """Whether the text of a spec gives the container a pid namespace of its own.

    Specs are long (the seccomp profile), and parsing one for this would cost each shim several times its length in
    memory. So the list is parsed alone, where its key stands: a key cannot be part of a string, in which the quotes
    would be escaped.
    """
    at = -1
    while (at := text.find('"namespaces"', at + 1)) >= 0:
        rest = text[at + 12 : at + 12 + _NAMESPACES].lstrip()
        value = first(rest[1:]) if rest.startswith(":") else None
        for namespace in value if isinstance(value, list) else ():
            if isinstance(namespace, dict) and namespace.get("type") == "pid":
                return not namespace.get("path")
    return False


def _dict(document: dict[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}
