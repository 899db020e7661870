"""Image references: Docker's grammar and its short forms (distribution/reference), and the full names the API uses."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pycontainerd.core.digest import validate_digest
from pycontainerd.core.errors import InvalidArgument

DEFAULT_DOMAIN = "docker.io"
OFFICIAL = "library/"
DEFAULT_TAG = "latest"
MAX_NAME = 255
"""Longest host plus repository, in characters."""

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[A-Fa-f0-9:]+\])"
_DOMAIN = re.compile(rf"{_HOST}(?::[0-9]+)?\Z")
_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_ID = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Reference:
    """A full reference: ``domain/path[:tag][@digest]``."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """Domain and path: what tags and digests are relative to."""
        return f"{self.domain}/{self.path}"

    @property
    def host(self) -> str:
        """The domain without port and brackets, as labels that name a registry have it."""
        end = self.domain.find("]")
        return self.domain[1:end] if end > 0 else self.domain.partition(":")[0]

    @property
    def object(self) -> str:
        """What to ask a registry for: the digest when there is one, else the tag."""
        return self.digest or self.tag

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Reference:
    """Read a reference that names its registry; nothing is added. Raises InvalidArgument."""
    domain, slash, rest = text.partition("/")
    if not slash or not _looks_like_domain(domain):
        hint = f"say which registry, as in {DEFAULT_DOMAIN}/{OFFICIAL}{text}" if _PATH.match(text.split(":")[0]) else ""
        raise InvalidArgument("image reference", text, hint or "want registry/repository[:tag][@digest]")
    return _parse(text, domain, rest)


def normalize(text: str) -> Reference:
    """Read a reference as Docker's command line does: ``busybox`` is ``docker.io/library/busybox:latest``.

    Raises InvalidArgument, with the reason, for what Docker refuses.
    """
    if _ID.match(text):
        raise InvalidArgument("image reference", text, "64 hex characters are an image id, not a name")
    domain, slash, rest = text.partition("/")
    if not slash or not _looks_like_domain(domain):
        domain, rest = DEFAULT_DOMAIN, text
    elif domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    bare = rest.partition("@")[0].partition(":")[0]
    if domain == DEFAULT_DOMAIN and "/" not in bare:
        rest = OFFICIAL + rest
    found = _parse(text, domain, rest)
    if not found.tag and not found.digest:
        return Reference(found.domain, found.path, DEFAULT_TAG)
    return found


def _looks_like_domain(first: str) -> bool:
    return "." in first or ":" in first or first == "localhost" or first.lower() != first


def _parse(text: str, domain: str, rest: str) -> Reference:
    rest, at, digest = rest.partition("@")
    path, colon, tag = rest.partition(":")
    if not _DOMAIN.match(domain):
        raise InvalidArgument("image reference", text, "the registry is no host name with optional port")
    if not _PATH.match(path):
        lower = path.lower()
        hint = "the repository must be lower case" if lower != path and _PATH.match(lower) else "bad repository name"
        raise InvalidArgument("image reference", text, hint)
    if len(domain) + 1 + len(path) > MAX_NAME:
        raise InvalidArgument("image reference", text[:80] + "…", f"the name is longer than {MAX_NAME} characters")
    if colon and not _TAG.match(tag):
        raise InvalidArgument("image reference", text, "a tag is 1 to 128 letters, digits, '_', '.' and '-'")
    if at:
        try:
            validate_digest(digest)
        except InvalidArgument:
            raise InvalidArgument("image reference", text, "the part after '@' is no digest") from None
    return Reference(domain, path, tag, digest)


def familiar(reference: Reference) -> str:
    """The shortest form that Docker reads back as this reference (its tag included)."""
    name = reference.name
    if reference.domain == DEFAULT_DOMAIN:
        name = reference.path.removeprefix(OFFICIAL) if reference.path.count("/") == 1 else reference.path
        if _looks_like_domain(name.partition("/")[0]) and "/" in name:
            name = reference.name
    return name + (f":{reference.tag}" if reference.tag else "") + (f"@{reference.digest}" if reference.digest else "")
