"""The boot check of the content store: make rows and files agree, losing nothing that anyone was promised."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import structlog

from pycontainerd.stores import content_rows as rows

if TYPE_CHECKING:
    from sqlite3 import Connection

    from pycontainerd.stores.blobs import Files
    from pycontainerd.stores.database import Database

_log = structlog.get_logger(__name__)
_ADOPTED = "content.adopted"
"""Key in ``meta`` once this database and this directory belong together."""


class Findings(NamedTuple):
    """What the check did: digests hidden, digests shown again; counts of files deleted, put aside, ingests dropped."""

    lost: list[str]
    found: list[str]
    swept: int
    quarantined: int
    ingests: int


def check(database: Database, files: Files) -> Findings:
    """Hide rows whose file is missing or has the wrong size, remove files and ingests that no row knows.

    Files that were here before the database was (it was moved aside or restored) go to quarantine instead.
    """
    known, lost, adopted = database.read(
        lambda connection: (rows.sizes(connection), rows.lost(connection), _is_adopted(connection))
    )
    present, swept, quarantined = _check_files(files, known, keep=not adopted)
    missing = sorted(digest for digest in known if digest not in present and digest not in lost)
    found = sorted(lost & present)
    dropped = _check_ingests(database, files)

    def change(connection: Connection) -> None:
        for digest in missing:
            rows.mark_lost(connection, digest)
        for digest in found:
            rows.mark_lost(connection, digest, lost=False)
        connection.execute("INSERT OR IGNORE INTO meta (key, value) VALUES (?, '1')", (_ADOPTED,))

    if missing or found or not adopted:
        database.write(change)
    for digest in missing:
        _log.error("a blob's file is missing or damaged; the blob is hidden until it is fetched again", digest=digest)
    if swept or quarantined or dropped:
        _log.info("content checked", files_removed=swept, files_quarantined=quarantined, ingests_dropped=dropped)
    return Findings(missing, found, swept, quarantined, dropped)


def _is_adopted(connection: Connection) -> bool:
    return connection.execute("SELECT 1 FROM meta WHERE key = ?", (_ADOPTED,)).fetchone() is not None


def _check_files(files: Files, known: dict[str, int], *, keep: bool) -> tuple[set[str], int, int]:
    """Return the digests whose file is as it should be, and how many files were removed and put aside."""
    present: set[str] = set()
    swept = quarantined = 0
    for digest, size in list(files.blobs()):
        if known.get(digest) == size:
            present.add(digest)
        elif digest in known or keep:
            files.quarantine(files.blob(digest))
            quarantined += 1
        else:
            files.remove_blob(digest)
            swept += 1
    return present, swept, quarantined


def _check_ingests(database: Database, files: Files) -> int:
    """Drop directories without a row, and rows without a directory."""
    directories = set(files.ingests())
    wanted = {
        files.ingest(namespace, sequence, ref): (namespace, ref)
        for namespace, ref, sequence, _, _ in database.read(rows.ingests)
    }
    for directory in directories - wanted.keys():
        files.remove_ingest(directory)
    gone = [wanted[directory] for directory in wanted if not os.path.isdir(directory)]

    def change(connection: Connection) -> None:
        for namespace, ref in gone:
            rows.end_ingest(connection, namespace, ref)

    if gone:
        database.write(change)
    return len(directories - wanted.keys()) + len(gone)
