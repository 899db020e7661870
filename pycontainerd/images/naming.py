"""Under which names a target stores an image: the rules of containerd's transfer service; pure.

A pull stores the target's own name and its whole (non-prefix) references. An import looks at each manifest's
annotations: a full name there is taken as it is when it fits a prefix reference, a bare tag is joined to the prefix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycontainerd.core.manifest import IMAGE_NAME, REF_NAME
from pycontainerd.core.transfer import ImageReference

if TYPE_CHECKING:
    from pycontainerd.core.transfer import ImageTarget
    from pycontainerd.core.values import Descriptor


def names_of_pull(target: ImageTarget, descriptor: Descriptor) -> list[str]:
    """The names for what was pulled, tagged, or imported as a whole index."""
    whole = [reference for reference in target.extra_references if not reference.is_prefix]
    more = [f"{each.name}@{descriptor.digest}" if each.add_digest else each.name for each in whole]
    return list(dict.fromkeys(name for name in [target.name, *more] if name))


def names_of_import(target: ImageTarget, descriptor: Descriptor) -> list[str]:
    """The names for one manifest of an imported archive, by its annotations.

    A target that gives no name at all, not even a prefix, takes full names as they stand in the archive.
    """
    names: list[str] = []
    if not target.name and not target.extra_references:
        own = _annotated(descriptor, ImageReference("", is_prefix=True, allow_overwrite=True))
        return [own] if own else []
    for reference in target.extra_references:
        if not reference.is_prefix:
            continue
        name = _annotated(descriptor, reference)
        if name:
            names.append(name)
        if reference.add_digest and not (name and reference.skip_named_digest):
            names.append(f"{reference.name}@{descriptor.digest}")
    return list(dict.fromkeys(names))


def _annotated(descriptor: Descriptor, reference: ImageReference) -> str:
    annotations = dict(descriptor.annotations)
    full = annotations.get(IMAGE_NAME, "")
    if full:
        return full if _fit(full, reference) == full else ""
    short = annotations.get(REF_NAME, "")
    return _fit(short, reference) if short else ""


def _fit(name: str, reference: ImageReference) -> str:
    """A full ``name`` if the reference allows it, the prefix with a bare tag joined to it, or empty."""
    prefix = reference.name
    if not any(mark in name for mark in "/:@"):
        return f"{prefix}:{name}" if prefix else ""
    if reference.allow_overwrite or not prefix:
        return name
    rest = name.removeprefix(prefix)
    return name if rest != name and rest[:1] in {"", "/", ":", "@"} else ""
