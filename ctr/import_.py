"""``pyctr import``: an image of a filesystem's tar archive."""

from __future__ import annotations

import sys

from ctr.errors import Failure
from ctr.flags import LIST, STRING, Command, flag
from pycontainerd.client import building, images
from pycontainerd.client.happenings import tell
from pycontainerd.core import imagechange
from pycontainerd.core.reference import normalize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "import",
    "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    "Import the contents from a tarball to create a filesystem image",
    (
        flag("change", "c", LIST, "Apply a Dockerfile instruction to the created image"),
        flag("message", "m", STRING, "Set commit message for imported image"),
        flag("platform", "", STRING, "Platform of the image (os/arch[/variant])"),
    ),
    least=1,
    most=2,
    example="pyctr export web | pyctr import -c 'CMD [\"sh\"]' - web:flat",
)
_BLOCK = 1 << 20


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Prints the new image's id; exit code 0."""
    config: dict[str, Any] = {}
    for text in values.items("change"):
        imagechange.apply(config, text)
    source = arguments[0]
    name = str(normalize(arguments[1])) if len(arguments) > 1 else ""
    comment = values.text("message") or f"Imported from {source}"
    story = building.Story(comment=comment)
    digest = building.import_tar(context.daemon, _pieces(source), name, config, story, values.text("platform"))
    tell(context.daemon, "image", "import", digest, name=images.familiar(name))
    print(digest)
    return 0


def _pieces(source: str) -> Iterator[bytes]:
    if source.startswith(("http://", "https://")):
        yield from _fetched(source)
        return
    if source == "-" and sys.stdin.isatty():
        raise Failure("cannot read an archive from a terminal", "redirect it: < FILE.tar")
    with open(0 if source == "-" else source, "rb", closefd=source != "-", buffering=0) as file:
        while data := file.read(_BLOCK):
            yield data


def _fetched(url: str) -> Iterator[bytes]:
    from urllib.error import URLError
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=60) as answer:
            while data := answer.read(_BLOCK):
                yield data
    except URLError as error:
        raise Failure(
            f"cannot fetch {url}: {error.reason}", "is the address right, and reachable from here?"
        ) from error
