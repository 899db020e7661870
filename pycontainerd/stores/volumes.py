"""Volumes: rows and directories that say the same, whatever happens in between.

**Order of things.** A directory is made, marked `new`, before its row and unmarked after it; it is marked `doomed`
before its row is deleted and removed after. So a directory with either marker and no row was never acknowledged, or its
removal was asked for, and goes when the store opens; a directory without both is somebody's data and is taken in again,
or reported when it cannot be told what it is. A rename notes the old name in the row before it renames the directory.
Nothing else ever deletes data.
"""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import structlog

from pycontainerd.core import happenings
from pycontainerd.core.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound, PycontainerdError
from pycontainerd.core.happenings import untold
from pycontainerd.core.mountentries import check_volume_name
from pycontainerd.core.snapshots import Usage
from pycontainerd.core.volumes import (
    Action,
    Found,
    Pruned,
    State,
    Volume,
    alike,
    check_new,
    compile_filters,
    is_mounted,
    reconcile,
)
from pycontainerd.linux.tree import disk_usage
from pycontainerd.stores import namespaces, volumerows
from pycontainerd.stores.columns import now
from pycontainerd.stores.disk import disk_error
from pycontainerd.stores.latches import Latches
from pycontainerd.wire.failpoint import hit

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterator, Sequence
    from sqlite3 import Connection

    from pycontainerd.core.happenings import Tell
    from pycontainerd.core.volumes import Trees, Use
    from pycontainerd.stores.database import Database
    from pycontainerd.stores.volumedirs import VolumeDirectories
    from pycontainerd.stores.volumemounts import VolumeMounts

_log = structlog.get_logger(__name__)


class Volumes:
    """``core.volumes.VolumeStore``. Opening reconciles rows and directories and never fails over what it finds."""

    def __init__(
        self,
        database: Database,
        directories: VolumeDirectories,
        mounts: VolumeMounts,
        trees: Trees,
        *,
        tell: Tell = untold,
    ) -> None:
        self.directories, self.mounts = directories, mounts
        self._database, self._trees, self._tell = database, trees, tell
        self._latches = Latches()
        self._open()

    # -- the store --------------------------------------------------------------------------------------------------

    def create(self, namespace: str, volume: Volume) -> Volume:
        """Make a volume; an empty name gets an anonymous one. One that is there and alike is returned as it is.

        Raises InvalidArgument, Conflict (there, but different), FailedPrecondition (its size cannot be enforced).
        """
        volume = prepared(volume)
        with self.hold(namespace, volume.name):
            found = self._database.read(lambda connection: volumerows.find(connection, namespace, volume.name))
            if found is not None:
                if not alike(found, volume):
                    raise Conflict("volume", volume.name, "it exists with another driver or other options")
                return self.placed(namespace, found)
            with self.making(namespace, volume) as made:
                self._database.write(lambda connection: self.insert(connection, namespace, made))
            return self.placed(namespace, made)

    def get(self, namespace: str, name: str, *, usage: bool = False) -> Found:
        """Raises NotFound."""

        def query(connection: Connection) -> tuple[Volume, Sequence[Use]]:
            return self.require(connection, namespace, name), volumerows.users(connection, namespace, name)

        volume, users = self._database.read(query)
        return self._found(namespace, volume, users, usage=usage)

    def list(self, namespace: str, filters: Sequence[str] = (), *, usage: bool = False) -> Sequence[Found]:
        """The volumes that pass the filters (see `core.volumes.compile_filters`), by name. Raises InvalidArgument."""
        matches = compile_filters(filters)

        def query(connection: Connection) -> builtins.list[tuple[Volume, Sequence[Use]]]:
            uses = volumerows.uses(connection, namespace)
            return [(volume, uses.get(volume.name, ())) for volume in volumerows.every(connection, namespace)]

        rows = self._database.read(query)
        return [
            self._found(namespace, volume, users, usage=usage) for volume, users in rows if matches(volume, bool(users))
        ]

    def remove(self, namespace: str, name: str, *, force: bool = False) -> None:
        """Remove a volume with its data. Raises NotFound (not with ``force``), Conflict naming its users."""
        with self.hold(namespace, name):
            try:
                self._database.read(lambda connection: self._removable(connection, namespace, name))
            except NotFound:
                if force:
                    return
                raise
            self._remove(namespace, name)

    def prune(self, namespace: str, filters: Sequence[str] = (), *, all: bool = False) -> Pruned:
        """Remove the volumes nobody uses: anonymous ones, or ``all``. Raises InvalidArgument."""
        matches = compile_filters(filters)
        unused = [found for found in self.list(namespace) if not found.users and (all or found.volume.anonymous)]
        names: builtins.list[str] = []
        reclaimed = 0
        for found in unused:
            if not matches(found.volume, False):
                continue
            name = found.volume.name
            with self.hold(namespace, name):
                size = self._usage(namespace, found.volume).size
                try:
                    self._remove(namespace, name)
                except PycontainerdError:
                    continue  # used or removed since it was listed
            names.append(name)
            reclaimed += size
        return Pruned(names, reclaimed)

    def rename(self, namespace: str, name: str, new: str) -> Volume:
        """Give it another name, which its users then know it by. Raises NotFound, Conflict (taken), InvalidArgument."""
        check_volume_name(new)
        with self.hold(namespace, name, new):

            def change(connection: Connection) -> None:
                self.require(connection, namespace, name)
                if volumerows.find(connection, namespace, new) is not None or self.directories.exists(namespace, new):
                    raise Conflict("volume", new, "the name is taken")
                volumerows.rename(connection, namespace, name, new)

            self._database.write(change)
            hit("volumes.rename.row")
            self._move(namespace, name, new)
            return self.get(namespace, new).volume

    def clone(self, namespace: str, name: str, new: Volume) -> Volume:
        """A new volume with the content of another, which shares its blocks where the filesystem can.

        It has the bound of the original unless it brings its own. Raises NotFound, Conflict (taken), InvalidArgument.
        """
        source = self.get(namespace, name).volume
        if not new.options and source.options.get("size") and not is_mounted(source.options):
            new = replace(new, options={"size": source.options["size"]})
        volume = prepared(new)

        def fill(data: str) -> None:
            with self.mounts.visit(namespace, source) as origin:
                self._trees.copy(origin, data)

        with self.hold(namespace, name, volume.name):
            return self._create_filled(namespace, volume, fill)

    def export(self, namespace: str, name: str, out: int, compression: str = "") -> None:
        """A tar of the volume to the descriptor ``out``; ``compression``: gzip, zstd or none. Raises NotFound."""
        if compression not in {"", "gzip", "zstd"}:
            raise InvalidArgument("compression", compression, "there are gzip and zstd, and none at all")
        volume = self.get(namespace, name).volume
        with self.mounts.visit(namespace, volume) as data:
            self._trees.pack(data, out, compression)

    def load(self, namespace: str, volume: Volume, source: int) -> Volume:
        """Unpack a tar from the descriptor ``source``: into a new volume, or over the content of one that is there.

        Raises InvalidArgument (not a tar), ResourceExhausted; a new volume is not left behind then.
        """
        volume = prepared(volume)
        with self.hold(namespace, volume.name):
            found = self._database.read(lambda connection: volumerows.find(connection, namespace, volume.name))
            if found is None:
                return self._create_filled(namespace, volume, lambda data: self._trees.unpack(data, source))
            with self.mounts.visit(namespace, found) as data:
                self._trees.unpack(data, source)
            return self.placed(namespace, found)

    # -- for claims -------------------------------------------------------------------------------------------------

    @contextmanager
    def hold(self, namespace: str, *names: str) -> Iterator[None]:
        """Nobody else makes, fills, renames or removes volumes of these names meanwhile."""
        with self._latches.hold((namespace, name) for name in names):
            yield

    def require(self, connection: Connection, namespace: str, name: str) -> Volume:
        """A volume's record. Raises NotFound."""
        found = volumerows.find(connection, namespace, name)
        if found is None:
            raise NotFound("volume", name)
        return found

    def insert(self, connection: Connection, namespace: str, volume: Volume) -> None:
        """The row of a volume whose directory is there."""
        namespaces.ensure(connection, namespace)
        volumerows.insert(connection, namespace, volume)
        message = happenings.volume("create", volume.name, volume.driver)
        self._database.after_commit(lambda: self._tell(namespace, message))

    def drop(self, connection: Connection, namespace: str, volume: Volume) -> None:
        """Delete the row of a volume whose directory is doomed."""
        volumerows.delete(connection, namespace, volume.name)
        message = happenings.volume("destroy", volume.name, volume.driver)
        self._database.after_commit(lambda: self._tell(namespace, message))

    @contextmanager
    def making(self, namespace: str, volume: Volume) -> Iterator[Volume]:
        """A new directory, to be filled and entered as a row in the block; gone if that fails."""
        try:
            made = self.directories.make(namespace, volume)
        except OSError as error:
            raise disk_error(error, "volume", volume.name) from error
        hit("volumes.create.directory")
        try:
            yield made
        except BaseException:
            self._destroy(namespace, volume.name)
            raise
        hit("volumes.create.row")
        self.directories.unmark(namespace, volume.name)
        hit("volumes.create.done")

    def placed(self, namespace: str, volume: Volume) -> Volume:
        """The volume with where it lies, and whether it does."""
        data = self.directories.data(namespace, volume.name)
        return replace(volume, mountpoint=data, lost=not os.path.isdir(data))

    @contextmanager
    def removing(self, namespace: str, names: Sequence[str]) -> Iterator[builtins.list[str]]:
        """Directories that are doomed; those whose names the block appended to the list are gone after it."""
        gone: builtins.list[str] = []
        present = [name for name in names if self.directories.exists(namespace, name)]
        for name in present:
            self.directories.mark(namespace, name, State.DOOMED)
        hit("volumes.remove.marked")
        try:
            yield gone
        finally:
            for name in present:
                if name not in gone:
                    self.directories.unmark(namespace, name)
        hit("volumes.remove.row")
        for name in gone:
            self._destroy(namespace, name)

    def refill(self, namespace: str, volume: Volume) -> None:
        """Away with a piece of content that a copy left which did not come to its end."""
        with self.mounts.visit(namespace, volume):
            self.directories.clear(namespace, volume.name)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _create_filled(self, namespace: str, volume: Volume, fill: Callable[[str], None]) -> Volume:
        """Make a volume that nobody has yet and fill it before it is there for anybody."""
        if self._database.read(lambda connection: volumerows.find(connection, namespace, volume.name)) is not None:
            raise Conflict("volume", volume.name, "the name is taken")
        with self.making(namespace, volume) as made:
            with self.mounts.visit(namespace, made) as data:
                fill(data)
            hit("volumes.create.filled")
            self._database.write(lambda connection: self.insert(connection, namespace, made))
        return self.placed(namespace, made)

    def _removable(self, connection: Connection, namespace: str, name: str) -> Volume:
        volume = self.require(connection, namespace, name)
        users = volumerows.users(connection, namespace, name)
        if users:
            listed = ", ".join(sorted({use.container for use in users}))
            raise Conflict(f"remove {name}: volume is in use - [{listed}]", hint="remove these containers first")
        return volume

    def _remove(self, namespace: str, name: str) -> None:
        """Remove a volume that is held and that nobody used a moment ago."""

        def change(connection: Connection) -> None:
            self.drop(connection, namespace, self._removable(connection, namespace, name))

        with self.removing(namespace, [name]) as gone:
            self._database.write(change, frees=True)
            gone.append(name)

    def _destroy(self, namespace: str, name: str) -> None:
        try:
            self.directories.destroy(namespace, name)
        except OSError as error:
            _log.warning(
                "volume's directory stays for the next start", namespace=namespace, volume=name, error=str(error)
            )

    def _move(self, namespace: str, name: str, new: str) -> None:
        """The second half of a rename, which is done again when the store opens should it fail."""
        try:
            if self.directories.exists(namespace, name):
                self.directories.move(namespace, name, new)
        except OSError as error:
            raise FailedPrecondition(
                "directory of volume",
                new,
                f"it could not be renamed ({error.strerror}): restart the daemon to try again",
            ) from error
        hit("volumes.rename.moved")
        self.mounts.renamed(namespace, name, new)
        self._database.write(lambda connection: volumerows.settle_name(connection, namespace, new))

    def _found(self, namespace: str, volume: Volume, users: Sequence[Use], *, usage: bool) -> Found:
        volume = self.placed(namespace, volume)
        return Found(volume, tuple(users), self._usage(namespace, volume) if usage and not volume.lost else None)

    def _usage(self, namespace: str, volume: Volume) -> Usage:
        """What the data directory holds; nothing for what is somebody else's and only mounted on it."""
        if is_mounted(volume.options):
            return Usage()
        try:
            with self.mounts.visit(namespace, volume) as data:
                return Usage(*disk_usage(data))
        except (OSError, PycontainerdError) as error:
            _log.warning("volume could not be measured", namespace=namespace, volume=volume.name, error=str(error))
            return Usage()

    def _open(self) -> None:
        rows = self._database.read(volumerows.keys)
        there = set(self.directories.scan())
        for key, old in rows.items():
            if key not in there and old and (key[0], old) in there and (key[0], old) not in rows:
                self._settle(*key, Action.FINISH_RENAME, old)
                there = there - {(key[0], old)} | {key}
            elif old:
                self._database.write(partial(_settle_name, key=key))
        for key in sorted(rows.keys() | there):
            state = self.directories.state(*key) if key in there else State.PLAIN
            self._settle(*key, reconcile(row=key in rows, directory=key in there, state=state))

    def _settle(self, namespace: str, name: str, action: Action, old: str = "") -> None:
        """Do what was decided about one name; report what cannot be done and go on."""
        try:
            if action is Action.FINISH_RENAME:
                self._move(namespace, old, name)
            elif action is Action.UNMARK:
                self.directories.unmark(namespace, name)
            elif action is Action.CHECK_FILLING:
                self._check_filling(namespace, name)
            elif action is Action.LOST:
                _log.error("volume has lost its directory", namespace=namespace, volume=name)
            elif action is Action.DELETE:
                self.directories.destroy(namespace, name)
            elif action is Action.ADOPT:
                self._adopt(namespace, name)
        except (OSError, PycontainerdError) as error:
            _log.error("volume not settled", namespace=namespace, volume=name, error=str(error))

    def _check_filling(self, namespace: str, name: str) -> None:
        """A volume's first content was cut off: away with the piece, unless a container may have added to it."""
        found = self.get(namespace, name)
        if found.users or is_mounted(found.volume.options):
            _log.warning("volume may hold only a part of the image's files", namespace=namespace, volume=name)
        else:
            self.refill(namespace, found.volume)
        self.directories.unmark(namespace, name)

    def _adopt(self, namespace: str, name: str) -> None:
        """Take in a directory whose row is missing: a database that was lost or put back must not cost data."""
        try:
            volume = self.directories.adopt(namespace, name)
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            path = self.directories.base(namespace, name)
            _log.error("directory is no volume and is left alone", path=path, reason=str(error))
            return
        self._database.write(lambda connection: self.insert(connection, namespace, volume))
        self.directories.unmark(namespace, name)
        _log.warning("volume taken in again: its row was missing", namespace=namespace, volume=name)


def _settle_name(connection: Connection, key: tuple[str, str]) -> None:
    volumerows.settle_name(connection, *key)


def prepared(volume: Volume) -> Volume:
    """A volume to make, checked, with a name of 64 hex digits if it has none. Raises InvalidArgument."""
    check_new(volume)
    if volume.name:
        return replace(volume, anonymous=False, created_at=now())
    return replace(volume, name=secrets.token_hex(32), anonymous=True, created_at=now())
