"""Image records."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pycontainerd.core.errors import AlreadyExists, InvalidArgument, NotFound
from pycontainerd.core.events import discard
from pycontainerd.core.filters import compile as compile_filters
from pycontainerd.core.gc import Item, Kind, Node
from pycontainerd.core.images import Image, adaptor, updated, validated
from pycontainerd.core.values import Descriptor
from pycontainerd.stores import leases, namespaces
from pycontainerd.stores.columns import from_micros, from_text, labels_for_gc, now, to_micros, to_text
from pycontainerd.wire.messages.events_image import ImageCreate, ImageDelete, ImageUpdate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from sqlite3 import Connection

    from pycontainerd.core.events import Publish
    from pycontainerd.stores.database import Database

_COLUMNS = "name, labels, media_type, digest, size, annotations, created_at, updated_at"


class Images:
    """``core.images.ImageStore`` on the database; ``collect`` runs a garbage collection and waits for it."""

    def __init__(
        self, database: Database, publish: Publish = discard, collect: Callable[[], object] | None = None
    ) -> None:
        self._database, self._publish = database, publish
        self.collect = collect

    def get(self, namespace: str, name: str) -> Image:
        """Raises NotFound."""
        return self._database.read(lambda connection: _get(connection, namespace, name))

    def list(self, namespace: str, filters: Sequence[str] = ()) -> Sequence[Image]:
        """The images that pass the filters (name, target.digest, target.mediatype, labels, annotations), by name."""
        matches = compile_filters(filters)
        query = f"SELECT {_COLUMNS} FROM images WHERE namespace = ? ORDER BY name"
        rows = self._database.read(lambda connection: connection.execute(query, (namespace,)).fetchall())
        return [image for image in (_image(row) for row in rows) if matches(adaptor(image))]

    def create(self, namespace: str, image: Image, *, at: datetime | None = None, lease: str = "") -> Image:
        """Raises AlreadyExists, InvalidArgument, NotFound (lease). ``at`` replaces the clock for both times."""
        time = at or now()
        image = replace(validated(image), created_at=time, updated_at=time)

        def change(connection: Connection) -> None:
            leases.hold(connection, namespace, lease, Kind.IMAGE, image.name)
            namespaces.ensure(connection, namespace)
            if _find(connection, namespace, image.name) is not None:
                raise AlreadyExists("image", image.name)
            _put(connection, namespace, image, time, time)
            self._tell(namespace, "/images/create", ImageCreate(name=image.name, labels=image.labels))

        self._database.write(change)
        return image

    def update(self, namespace: str, image: Image, paths: Sequence[str] = (), *, at: datetime | None = None) -> Image:
        """Replace the masked fields (labels, labels.<k>, target, annotations, annotations.<k>); no mask: all.

        Raises NotFound, InvalidArgument.
        """
        if not image.name:
            raise InvalidArgument("image name must not be empty")

        def change(connection: Connection) -> Image:
            old = _get(connection, namespace, image.name)
            time = at or now()
            result = replace(updated(old, image, paths), updated_at=time)
            _put(connection, namespace, result, result.created_at or time, time)
            self._tell(namespace, "/images/update", ImageUpdate(name=result.name, labels=result.labels))
            return result

        return self._database.write(change)

    def delete(self, namespace: str, name: str, *, target: str = "", sync: bool = False) -> None:
        """Delete, only while it points at ``target`` when given; ``sync`` waits for the collection. Raises NotFound."""

        def change(connection: Connection) -> None:
            old = _get(connection, namespace, name)
            if target and old.target.digest != target:
                raise NotFound("image", name, f"it points at {old.target.digest}, not at {target}")
            _delete(connection, namespace, name)
            self._tell(namespace, "/images/delete", ImageDelete(name=name))

        self._database.write(change, frees=True)
        if sync and self.collect is not None:
            self.collect()

    # -- garbage collection (collector.Store) -----------------------------------------------------------------------

    def items(self, connection: Connection) -> Iterator[Item]:
        """Every image with its target."""
        for namespace, name, digest, labels in connection.execute("SELECT namespace, name, digest, labels FROM images"):
            target = Node(Kind.CONTENT, namespace, digest)
            yield Item(Node(Kind.IMAGE, namespace, name), labels_for_gc(labels), [target])

    def remove_collected(self, connection: Connection, nodes: Sequence[Node]) -> None:
        """Delete expired images."""
        for node in nodes:
            if node.kind is Kind.IMAGE:
                _delete(connection, node.namespace, node.key)
                self._tell(node.namespace, "/images/delete", ImageDelete(name=node.key))

    def sweep(self) -> None:
        """Nothing: an image is a row and no more."""

    def _tell(self, namespace: str, topic: str, message: ImageCreate | ImageUpdate | ImageDelete) -> None:
        self._database.after_commit(lambda: self._publish(namespace, topic, message))


def _find(connection: Connection, namespace: str, name: str) -> Image | None:
    query = f"SELECT {_COLUMNS} FROM images WHERE namespace = ? AND name = ?"
    row = connection.execute(query, (namespace, name)).fetchone()
    return None if row is None else _image(row)


def _get(connection: Connection, namespace: str, name: str) -> Image:
    found = _find(connection, namespace, name)
    if found is None:
        raise NotFound("image", name)
    return found


def _put(connection: Connection, namespace: str, image: Image, created: datetime, changed: datetime) -> None:
    target = image.target
    connection.execute(
        f"INSERT OR REPLACE INTO images (namespace, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            namespace,
            image.name,
            to_text(image.labels),
            target.media_type,
            target.digest,
            target.size,
            to_text(dict(target.annotations)),
            to_micros(created),
            to_micros(changed),
        ),
    )


def _delete(connection: Connection, namespace: str, name: str) -> None:
    connection.execute("DELETE FROM images WHERE namespace = ? AND name = ?", (namespace, name))


def _image(row: tuple[str, str, str, str, int, str, int, int]) -> Image:
    name, labels, media_type, digest, size, annotations, created, changed = row
    return Image(
        name,
        Descriptor(media_type, digest, size, tuple(from_text(annotations).items())),
        from_text(labels),
        from_micros(created),
        from_micros(changed),
    )
