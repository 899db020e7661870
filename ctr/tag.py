"""``pyctr tag``: give an image another name."""

from __future__ import annotations

from ctr.errors import Failure
from ctr.flags import Command
from pycontainerd.client import images
from pycontainerd.core.reference import normalize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "tag",
    "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    "Give an image another name",
    least=2,
    most=2,
    example="pyctr tag busybox 127.0.0.1:5000/busybox:1",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0."""
    source, target = arguments
    reference = normalize(target)
    if reference.digest:
        raise Failure("refusing to create a tag with a digest reference", "give name:tag")
    image = images.find(context.daemon, source)
    if image is None or image.target is None:
        raise Failure(f"No such image: {source}", "see pyctr images")
    images.create(context.daemon, str(reference), image.target, dict(image.labels))
    return 0
