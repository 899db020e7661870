"""Content seen from outside: whole small blobs, such as manifests and image configurations."""

from __future__ import annotations

from pycontainerd.client import jsontext
from pycontainerd.core.errors import DataLoss, NotFound
from pycontainerd.wire.messages import content as messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pycontainerd.client.daemon import Daemon

    Json = dict[str, Any]

SERVICE = "containerd.services.content.v1.Content"
LARGEST = 8 << 20
"""Most bytes of one document; nobody's manifest is larger."""


def read(daemon: Daemon, digest: str) -> bytes:
    """The bytes of a blob of at most ``LARGEST``. Raises NotFound; DataLoss when it is larger."""
    parts: list[bytes] = []
    size = 0
    request = messages.ReadContentRequest(digest=digest)
    with daemon.stream(SERVICE, "Read", request, messages.ReadContentResponse) as answers:
        for answer in answers:
            parts.append(answer.data)
            size += len(answer.data)
            if size > LARGEST:
                raise DataLoss(f"{digest} is too large to be an image's manifest or configuration")
    return b"".join(parts)


def document(daemon: Daemon, digest: str) -> Json:
    """A JSON object by its digest. Raises NotFound, DataLoss when it is none."""
    try:
        value = jsontext.loads(read(daemon, digest))
    except ValueError as error:
        raise DataLoss("blob", digest, f"it should be a JSON document: {error}") from error
    if not isinstance(value, dict):
        raise DataLoss("blob", digest, "it should be a JSON object")
    return value


def size(daemon: Daemon, digest: str) -> int:
    """Bytes of a blob, 0 when it is not here (of a multi-platform image, most are not)."""
    try:
        answer = daemon.call(SERVICE, "Info", messages.InfoRequest(digest=digest), messages.InfoResponse)
    except NotFound:
        return 0
    return answer.info.size if answer.info else 0
