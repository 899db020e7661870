"""``pyctr pull``: have the daemon fetch and unpack an image."""

from __future__ import annotations

import os
import sys

from ctr.errors import UsageError
from ctr.flags import BOOL, STRING, Command, flag
from ctr.progress import Display
from pycontainerd.client import images, transfer
from pycontainerd.client.happenings import tell
from pycontainerd.core.errors import InvalidArgument, NotFound
from pycontainerd.core.reference import normalize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "pull",
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    "Download an image from a registry",
    (
        flag("all-tags", "a", BOOL, "Download all tagged images in the repository"),
        flag(
            "disable-content-trust", "", BOOL, "Skip image verification (signatures are not looked at)", default="true"
        ),
        flag("platform", "", STRING, "Platform to pull (os/arch[/variant])"),
        flag("plain-http", "", BOOL, "Talk to the registry without TLS (loopback needs no flag)"),
        flag("quiet", "q", BOOL, "Print the image's name only"),
    ),
    least=1,
    most=1,
    example="pyctr pull debian:12\npyctr pull 127.0.0.1:5000/team/app:1.2",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0 when the image is here."""
    scheme = "http" if values.on("plain-http") else ""
    platform, quiet = values.text("platform"), values.on("quiet")
    if values.on("all-tags"):
        return _fetch_all(context, values, arguments[0])
    normalize(arguments[0])
    if not quiet and not _says_which(arguments[0]):
        print("Using default tag: latest", flush=True)
    name = fetch(context, arguments[0], platform=platform, quiet=quiet, scheme=scheme, out=sys.stdout)
    print(name)
    return 0


def _says_which(text: str) -> bool:
    """Whether a reference names a tag or a digest itself."""
    last = text.rpartition("/")[2]
    return ":" in last or "@" in last


def _fetch_all(context: Context, values: Values, text: str) -> int:
    """Every tag of a repository. One that cannot be pulled is told and does not keep the others away; the code is 1."""
    from ctr.each import each
    from ctr.registrytags import tags

    reference = normalize(text)
    if _says_which(text):
        raise UsageError("tag can't be used with --all-tags/-a")
    plain, platform, quiet = values.on("plain-http"), values.text("platform"), values.on("quiet")
    found = [f"{reference.name}:{tag}" for tag in tags(reference, plain=plain)]
    scheme = "http" if plain else ""

    def one(name: str) -> str:
        fetch(context, name, platform=platform, quiet=quiet, scheme=scheme, out=sys.stdout)
        return ""

    code = each(found, one)
    print(reference.name)
    return code


def fetch(
    context: Context, text: str, *, platform: str = "", quiet: bool = False, scheme: str = "", out: TextIO
) -> str:
    """Pull with a display on ``out``; the full name. Raises InvalidArgument for what is no reference."""
    reference = normalize(text)
    name = str(reference)
    before = images.get(context.daemon, name)
    if not quiet and reference.tag:
        print(f"{reference.tag}: Pulling from {images.familiar(reference.name)}", file=out, flush=True)
    display = Display(out, quiet=quiet)
    try:
        host_dir = os.environ.get("PYCTR_HOSTS_DIR", "")
        transfer.pull(context.daemon, name, display.report, platform=platform, scheme=scheme, host_dir=host_dir)
    except NotFound as error:
        raise NotFound(
            f"{text} cannot be pulled: {error.what}", hint="check the name, the tag and the platform"
        ) from error
    finally:
        display.finish()
    after = images.get(context.daemon, name)
    if after is None:
        raise InvalidArgument("image", text, "the daemon pulled it and does not have it")
    tell(context.daemon, "image", "pull", images.familiar(name), name=images.familiar(reference.name))
    if not quiet:
        print(f"Digest: {images.digest_of(after)}", file=out)
        changed = before is None or images.digest_of(before) != images.digest_of(after)
        state = "Downloaded newer image" if changed else "Image is up to date"
        print(f"Status: {state} for {images.familiar(name)}", file=out)
    return name
