"""The few things a shim wants to know of a container's config.json; everything else is the runtime's business.

The file belongs to the client and is written back only when it names a user for us to look up.
"""

from __future__ import annotations

from pycontainerd.linux.fds import read_file, replace_file
from shim.errors import from_oserror, invalid
from shim.jsontext import dumps, loads
from shim.users import GROUP_ADD, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LIMIT = 32 << 20
GROUP_ANNOTATIONS = ("io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id")


class Spec:
    """What was found: whether the container has a pid namespace of its own, and an OOM score of its own."""

    __slots__ = ("group_add", "own_oom_score", "own_pids", "root")

    def __init__(self, own_pids: bool, own_oom_score: bool, root: str, group_add: str) -> None:
        self.own_pids = own_pids
        self.own_oom_score = own_oom_score
        self.root = root
        self.group_add = group_add


def load(bundle: str) -> dict[str, Any]:
    """The bundle's config.json. Raises RpcError saying what is wrong with it."""
    path = f"{bundle}/config.json"
    try:
        document = loads(read_file(path, LIMIT))
    except OSError as error:
        raise from_oserror("container spec", error) from None
    except ValueError as error:
        raise invalid(f"container spec {path}: {error}") from None
    if not isinstance(document, dict):
        raise invalid(f"container spec {path} is no JSON object")
    return document


def prepare(bundle: str, rootfs: str) -> Spec:
    """Read the spec; look up and write back a user name it holds. `rootfs` is mounted. Raises RpcError."""
    document = load(bundle)
    group_add = str(annotations_of(document).get(GROUP_ADD, ""))
    root = _dict(document, "root").get("path")
    place = rootfs if not isinstance(root, str) or not root else root if root.startswith("/") else f"{bundle}/{root}"
    process = document.get("process")
    if isinstance(process, dict) and resolve(process, place, group_add):
        try:
            replace_file(f"{bundle}/config.json", dumps(document).encode(), 0o644)
        except OSError as error:
            raise from_oserror("container spec", error) from None
    score = _dict(document, "process").get("oomScoreAdj")
    return Spec(_own_pids(document), score is not None, place, group_add)


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


def _own_pids(document: dict[str, Any]) -> bool:
    namespaces = _dict(document, "linux").get("namespaces")
    for namespace in namespaces if isinstance(namespaces, list) else ():
        if isinstance(namespace, dict) and namespace.get("type") == "pid":
            return not namespace.get("path")
    return False


def _dict(document: dict[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}
