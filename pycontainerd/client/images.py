"""Images seen from outside: names as Docker's users type them, and what an image says about itself."""

from __future__ import annotations

from pycontainerd.client import content
from pycontainerd.core.errors import DataLoss, InvalidArgument, NotFound
from pycontainerd.wire.messages import images as messages
from pycontainerd.wire.messages.google import Empty

try:
    from _sha256 import sha256  # type: ignore[import-not-found]  # hashlib imports OpenSSL for it, 4 ms
except ImportError:  # Python 3.12 and later
    from hashlib import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pycontainerd.client.daemon import Daemon
    from pycontainerd.wire.messages.types import Descriptor

    Json = dict[str, Any]

SERVICE = "containerd.services.images.v1.Images"
SNAPSHOTTER = "overlayfs"
_OFFICIAL = "docker.io/library/"
NAMELESS = _OFFICIAL + "none@"
"""Beginning of the names that images without a name are kept under; their digest follows."""
_HEX = "0123456789abcdef"


def expand(text: str) -> str:
    """The full name that Docker's short one stands for: ``busybox`` is ``docker.io/library/busybox:latest``.

    Quick and trusting: whether the result is a valid reference is for ``core.reference`` or the daemon to say.
    """
    first, slash, _ = text.partition("/")
    if not slash:
        full = _OFFICIAL + text
    elif "." in first or ":" in first or first == "localhost" or first != first.lower():
        full = "docker.io" + text.removeprefix("index.docker.io") if first == "index.docker.io" else text
        if full.startswith("docker.io/") and full.count("/") == 1:
            full = _OFFICIAL + full.removeprefix("docker.io/")
    else:
        full = "docker.io/" + text
    if "@" in full or ":" in full.rpartition("/")[2]:
        return full
    return full + ":latest"


def familiar(name: str) -> str:
    """The short name Docker shows: without ``docker.io/library/`` or ``docker.io/``."""
    return name.removeprefix(_OFFICIAL).removeprefix("docker.io/")


def split_name(name: str) -> tuple[str, str, str]:
    """Repository (familiar), tag and digest of a full name; the latter two may be empty."""
    if name.startswith(NAMELESS):
        return "<none>", "", name.removeprefix(NAMELESS)
    rest, _, digest = name.partition("@")
    head, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        head, tag = rest, ""
    return familiar(head), tag, digest


def get(daemon: Daemon, name: str) -> messages.Image | None:
    """The image of that full name."""
    try:
        return daemon.call(SERVICE, "Get", messages.GetImageRequest(name=name), messages.GetImageResponse).image
    except NotFound:
        return None


def list_all(daemon: Daemon, filters: Sequence[str] = ()) -> list[messages.Image]:
    """All images of the namespace, or those that any of the filters matches."""
    request = messages.ListImagesRequest(filters=filters)
    return list(daemon.call(SERVICE, "List", request, messages.ListImagesResponse).images)


def digest_of(image: messages.Image) -> str:
    """The digest of the image's target: what Docker's containerd store calls the image's id."""
    return image.target.digest if image.target else ""


def find(daemon: Daemon, text: str) -> messages.Image | None:
    """The image a user means by a name or the beginning of an id. Raises InvalidArgument when ids are ambiguous."""
    found = get(daemon, expand(text)) if not text.startswith("sha256:") else None
    if found is not None:
        return found
    named = with_id(daemon, text)
    if len({digest_of(image) for image in named}) > 1:
        candidates = ", ".join(sorted({digest_of(image)[7:19] for image in named}))
        raise InvalidArgument(f"{text} is the beginning of several image ids: {candidates}", hint="give more digits")
    return named[0] if named else None


def with_id(daemon: Daemon, text: str) -> list[messages.Image]:
    """All names of images whose id begins with ``text``, which may start with ``sha256:``."""
    digits = text.removeprefix("sha256:")
    if not digits or len(digits) > 64 or digits.strip(_HEX):
        return []
    return [image for image in list_all(daemon) if digest_of(image).startswith("sha256:" + digits)]


def create(daemon: Daemon, name: str, target: Descriptor, labels: dict[str, str] | None = None) -> None:
    """Give a target a name, in place of what had it."""
    image = messages.Image(name=name, target=target, labels=labels or {})
    if get(daemon, name) is None:
        daemon.call(SERVICE, "Create", messages.CreateImageRequest(image=image), messages.CreateImageResponse)
    else:
        daemon.call(SERVICE, "Update", messages.UpdateImageRequest(image=image), messages.UpdateImageResponse)


def delete(daemon: Daemon, name: str, *, sync: bool = False) -> None:
    """Drop a name; with ``sync`` wait until what only it kept is gone. Raises NotFound."""
    daemon.call(SERVICE, "Delete", messages.DeleteImageRequest(name=name, sync=sync), Empty)


class Contents:
    """What an image consists of on one platform: ``manifest`` and ``config`` are the documents."""

    __slots__ = ("config", "config_digest", "digest", "manifest", "manifest_digest", "name")

    def __init__(self, image: messages.Image, manifest_digest: str, manifest: Json, config: Json) -> None:
        self.name, self.digest = image.name, digest_of(image)
        self.manifest_digest, self.manifest, self.config = manifest_digest, manifest, config
        self.config_digest: str = (manifest.get("config") or {}).get("digest", "")

    @property
    def settings(self) -> Json:
        """What the image presets: Env, Cmd, Entrypoint, …"""
        return self.config.get("config") or {}

    @property
    def diff_ids(self) -> list[str]:
        """Digests of the uncompressed layers, the lowest first."""
        return (self.config.get("rootfs") or {}).get("diff_ids") or []

    @property
    def chain(self) -> list[str]:
        """Names of the layers' snapshots, the lowest first (OCI image-spec, chain ids)."""
        return chain_of(self.diff_ids)


def chain_of(diff_ids: Sequence[str]) -> list[str]:
    """Chain ids of layers by the digests of their plain tars, the lowest first."""
    names: list[str] = []
    for diff_id in diff_ids:
        joined = f"{names[-1]} {diff_id}".encode() if names else b""
        names.append("sha256:" + sha256(joined).hexdigest() if names else diff_id)
    return names


def contents(daemon: Daemon, image: messages.Image, platform: str = "") -> Contents:
    """Manifest and configuration for ``os/arch[/variant]``, by default for this host.

    Raises NotFound when the image is not here for the platform, DataLoss when a document is not what it should be.
    """
    wanted = parse_platform(platform)
    document = content.document(daemon, digest_of(image))
    if "manifests" not in document:
        found = _complete(daemon, image, digest_of(image), document)
        if platform and _rank(found.config, wanted) not in (0, 1):
            raise _absent(image, wanted)
        return found
    for digest in _candidates(document, wanted):
        try:
            manifest = content.document(daemon, digest)
        except NotFound:
            continue
        if "manifests" in manifest:  # an index within the index
            inner = messages.Image(name=image.name, target=image.target)
            if inner.target is not None:
                inner.target.digest = digest
            return contents(daemon, inner, platform)
        return _complete(daemon, image, digest, manifest)
    raise _absent(image, wanted)


def _absent(image: messages.Image, wanted: tuple[str, str, str]) -> NotFound:
    text = "/".join(filter(None, wanted))
    return NotFound(f"image {familiar(image.name)} is not here for {text}", hint=f"pull it with --platform {text}")


def _complete(daemon: Daemon, image: messages.Image, digest: str, manifest: Json) -> Contents:
    config = (manifest.get("config") or {}).get("digest")
    if not isinstance(config, str):
        raise DataLoss("image", familiar(image.name), "its manifest names no configuration")
    return Contents(image, digest, manifest, content.document(daemon, config))


def _candidates(index: Json, wanted: tuple[str, str, str]) -> list[str]:
    """Digests of the manifests that fit, the best first."""
    fitting: list[tuple[int, str]] = []
    for entry in index.get("manifests") or []:
        platform = entry.get("platform") or {}
        rank = _rank(platform, wanted)
        if rank >= 0:
            fitting.append((rank, str(entry.get("digest"))))
    return [digest for _, digest in sorted(fitting, key=lambda item: item[0])]


def _rank(platform: Json, wanted: tuple[str, str, str]) -> int:
    """How well a manifest's platform fits: 0 exactly, 1 with another variant, -1 not at all."""
    system, architecture, variant = wanted
    if not platform:
        return 2  # says nothing: the only one of its index, mostly
    if (platform.get("os"), platform.get("architecture")) != (system, architecture):
        return -1
    return 0 if (platform.get("variant") or "") == variant or not variant else 1


_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386", "loongarch64": "loong64"}


def host_architecture() -> str:
    """Go's name of this machine's architecture."""
    import os

    machine = os.uname().machine
    return _MACHINES.get(machine, machine)


def parse_platform(text: str) -> tuple[str, str, str]:
    """``linux/arm64/v8`` in its parts, the host's for an empty text. Raises InvalidArgument."""
    parts = text.lower().split("/") if text else ["linux", host_architecture()]
    if not all(parts) or len(parts) > 3:
        raise InvalidArgument("platform", text, "give os/architecture[/variant], such as linux/arm64")
    if len(parts) == 1:
        parts = ["linux", *parts] if parts[0] != "linux" else ["linux", host_architecture()]
    architecture = _MACHINES.get(parts[1], parts[1])
    variant = parts[2] if len(parts) == 3 else ""
    return parts[0], architecture, "" if (architecture, variant) in (("arm64", "v8"), ("arm", "v7")) else variant
