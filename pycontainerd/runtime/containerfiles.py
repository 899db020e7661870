"""Directories of containers' own files (managed files, logs), ``<root>/containers/<namespace>/<id>``.

Clients make them before the record and remove them after it, so one that was killed in between leaves its directory.
"""

from __future__ import annotations

import os
import stat
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from pycontainerd.linux.tree import remove_tree
from pycontainerd.runtime.convert import now

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

YOUNG = timedelta(hours=1)
"""For this long a directory without a record may be that of a container in the making."""
_log = structlog.get_logger("containers")


def sweep(files: str, kept: Mapping[str, Collection[str]]) -> list[str]:
    """Remove the directories of containers that are not ``kept`` (ids by namespace); return their paths. Never raises:
    what cannot be removed is told of and tried again at the next start.
    """
    removed = []
    for namespace in _entries(files):
        there = kept.get(namespace, ())
        for name in _entries(f"{files}/{namespace}"):
            path = f"{files}/{namespace}/{name}"
            try:
                status = os.lstat(path)
                is_young = status.st_mtime > (now() - YOUNG).timestamp()
                if name in there or is_young or not stat.S_ISDIR(status.st_mode):
                    continue
                remove_tree(path)
            except OSError as error:
                _log.warning("files without a container stay", path=path, error=str(error))
            else:
                removed.append(path)
    if removed:
        _log.info("removed files of containers that were never made", count=len(removed))
    return removed


def _entries(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []
