"""The rows of volumes, and who uses which: read from the mount entries in the containers' rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.mountentries import EXTENSION, TYPE_URL, VOLUME, checked
from pycontainerd.core.values import AnyValue
from pycontainerd.core.volumes import Limit, Use, Volume
from pycontainerd.stores.columns import anys_from_text, anys_to_text, from_micros, from_text, now, to_micros, to_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from sqlite3 import Connection

    Json = dict[str, Any]

_COLUMNS = "name, driver, labels, options, anonymous, bound, created_at"


def find(connection: Connection, namespace: str, name: str) -> Volume | None:
    """One volume, without what only the disk can tell."""
    query = f"SELECT {_COLUMNS} FROM volumes WHERE namespace = ? AND name = ?"
    row = connection.execute(query, (namespace, name)).fetchone()
    return None if row is None else _volume(row)


def every(connection: Connection, namespace: str) -> list[Volume]:
    """All of a namespace, by name."""
    query = f"SELECT {_COLUMNS} FROM volumes WHERE namespace = ? ORDER BY name"
    return [_volume(row) for row in connection.execute(query, (namespace,))]


def keys(connection: Connection) -> dict[tuple[str, str], str]:
    """Namespace and name of every volume, with the name it was last renamed from ("" for none)."""
    rows = connection.execute("SELECT namespace, name, renamed_from FROM volumes")
    return {(namespace, name): old for namespace, name, old in rows}


def insert(connection: Connection, namespace: str, volume: Volume) -> None:
    """Add a row."""
    values = (
        volume.name, volume.driver, to_text(volume.labels), to_text(volume.options), int(volume.anonymous),
        volume.limit.value, to_micros(volume.created_at or now()),
    )  # fmt: skip
    connection.execute(
        f"INSERT INTO volumes (namespace, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (namespace, *values)
    )


def delete(connection: Connection, namespace: str, name: str) -> bool:
    """Drop a row; say whether there was one."""
    query = "DELETE FROM volumes WHERE namespace = ? AND name = ?"
    return bool(connection.execute(query, (namespace, name)).rowcount)


def rename(connection: Connection, namespace: str, name: str, new: str) -> None:
    """Rename a volume, here and in its users' entries; the row remembers the old name until `settle_name`."""
    connection.execute(
        "UPDATE volumes SET name = ?, renamed_from = ?, anonymous = 0 WHERE namespace = ? AND name = ?",
        (new, name, namespace, name),
    )
    for key, extensions, entries in list(_containers(connection, namespace)):
        changed = [
            {**_named(entry), "volume": new} if entry.get("volume") == name else entry for entry in entries
        ]  # fmt: skip
        if changed != entries:
            extensions[EXTENSION] = extension(changed)
            connection.execute(
                "UPDATE containers SET extensions = ? WHERE namespace = ? AND id = ?",
                (anys_to_text(extensions), namespace, key),
            )


def settle_name(connection: Connection, namespace: str, name: str) -> None:
    """The directory has the row's name."""
    connection.execute("UPDATE volumes SET renamed_from = '' WHERE namespace = ? AND name = ?", (namespace, name))


def users(connection: Connection, namespace: str, name: str, *, besides: str = "") -> list[Use]:
    """The containers that use a volume, ``besides`` excepted."""
    return [use for use in uses(connection, namespace).get(name, ()) if use.container != besides]


def uses(connection: Connection, namespace: str) -> Mapping[str, list[Use]]:
    """The users of each volume of a namespace, by volume."""
    found: dict[str, list[Use]] = {}
    for key, _, entries in _containers(connection, namespace):
        for entry in entries:
            if entry["type"] == VOLUME and entry.get("volume"):
                use = Use(key, entry["target"], bool(entry.get("readonly")))
                found.setdefault(entry["volume"], []).append(use)
    return found


def read_entries(extensions: Mapping[str, AnyValue]) -> list[Json]:
    """The mount entries of a container; none when it has no such extension. Raises InvalidArgument."""
    value = extensions.get(EXTENSION)
    if value is None:
        return []
    try:
        document = json.loads(value.value)
    except ValueError as error:
        raise InvalidArgument("container extension", EXTENSION, f"it is not JSON: {error}") from error
    return checked(document)


def extension(entries: Sequence[Json]) -> AnyValue:
    """Entries as they are kept."""
    return AnyValue(TYPE_URL, json.dumps(list(entries), separators=(",", ":")).encode())


def _named(entry: Json) -> Json:
    """An entry whose volume was given a name: it is anonymous no more."""
    return {key: value for key, value in entry.items() if key not in {"anonymous", "remove"}}


def _containers(connection: Connection, namespace: str) -> Iterator[tuple[str, dict[str, AnyValue], list[Json]]]:
    query = "SELECT id, extensions FROM containers WHERE namespace = ? AND instr(extensions, ?)"
    for key, text in connection.execute(query, (namespace, f'"{EXTENSION}"')):
        extensions = anys_from_text(text)
        yield key, extensions, read_entries(extensions)


def _volume(row: tuple[Any, ...]) -> Volume:
    return Volume(
        name=row[0],
        driver=row[1],
        labels=from_text(row[2]),
        options=from_text(row[3]),
        anonymous=bool(row[4]),
        limit=Limit(row[5]),
        created_at=from_micros(row[6]),
    )
