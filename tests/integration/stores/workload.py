"""A child process that works on the stores and says what it was told is done, until something kills it.

Lines on stdout: ``try VERB ARGS`` before a step and ``ack VERB ARGS`` when the store has returned.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from pycontainerd.core.containers import Container
from pycontainerd.core.digest import of_bytes
from pycontainerd.core.errors import AlreadyExists, NotFound
from pycontainerd.core.images import Image
from pycontainerd.core.values import AnyValue, Descriptor
from pycontainerd.stores.collector import Collector
from pycontainerd.stores.containers import Containers
from pycontainerd.stores.content import Content
from pycontainerd.stores.database import Database
from pycontainerd.stores.images import Images
from pycontainerd.stores.leases import Leases
from pycontainerd.stores.schema import STEPS

if TYPE_CHECKING:
    from collections.abc import Callable

NAMESPACE = "crash"
REF = "containerd.io/gc.ref.content.l.0"


class Stores:
    """Everything over one root."""

    def __init__(self, root: str) -> None:
        self.database = Database(f"{root}/meta.db", STEPS)
        self.images, self.leases = Images(self.database), Leases(self.database)
        self.content = Content(self.database, f"{root}/content")
        self.containers = Containers(self.database)
        self.collector = Collector(self.database, [self.images, self.leases, self.content, self.containers])


def layer(number: int) -> bytes:
    """The bytes of a layer."""
    return b"layer %d " % number * 5000


def manifest(number: int) -> bytes:
    """The bytes of a manifest."""
    return b"manifest %d" % number


def say(line: str) -> None:
    """One line, unbuffered."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def step(verb: str, number: int, action: Callable[[], object]) -> None:
    """Run one step between its two lines."""
    say(f"try {verb} {number}")
    with suppress(AlreadyExists, NotFound):
        action()
    say(f"ack {verb} {number}")


def put(stores: Stores, data: bytes, **labels: str) -> None:
    """Write a blob under the lease, in two writes so that a resume has something to do."""
    digest = of_bytes(data)
    with stores.content.writer(NAMESPACE, f"put-{digest}", lease="pull") as writer:
        writer.truncate(0)
        writer.write(data[: len(data) // 2])
        writer.write(data[len(data) // 2 :])
        writer.commit(size=len(data), expected=digest, labels=labels)


def pull(stores: Stores, number: int) -> None:
    """One image's life: pulled, run, and the one three before it removed and collected."""
    target = Descriptor("application/x", of_bytes(manifest(number)), len(manifest(number)))
    step("lease", number, lambda: stores.leases.create(NAMESPACE, "pull"))
    step("layer", number, lambda: put(stores, layer(number)))
    step("manifest", number, lambda: put(stores, manifest(number), **{REF: of_bytes(layer(number))}))
    step("image", number, lambda: stores.images.create(NAMESPACE, Image(f"image-{number}", target)))
    step("unlease", number, lambda: stores.leases.delete(NAMESPACE, "pull"))
    container = Container(f"c{number}", runtime="runc", spec=AnyValue("spec", b"{}"))
    step("container", number, lambda: stores.containers.create(NAMESPACE, container))
    if number >= 3:
        step("unimage", number - 3, lambda: stores.images.delete(NAMESPACE, f"image-{number - 3}"))
        step("uncontainer", number - 3, lambda: stores.containers.delete(NAMESPACE, f"c{number - 3}"))
        step("collect", number, stores.collector.collect)
    if number % 2:
        stores.content.writer(NAMESPACE, "given-up").close()
        step("abort", number, lambda: stores.content.abort(NAMESPACE, "given-up"))
        step("delete", number - 1, lambda: stores.content.delete(NAMESPACE, of_bytes(layer(number - 1))))


def main(root: str, first: int, count: int) -> None:
    """Pull ``count`` images, numbered from ``first``."""
    stores = Stores(root)
    for number in range(first, first + count):
        pull(stores, number)
    stores.database.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
