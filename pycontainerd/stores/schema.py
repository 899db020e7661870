"""The tables, as named steps applied once each: append, never edit a step that has shipped.

Conventions: every row but a namespace's own is keyed by namespace first; times are microseconds since the epoch; labels
and annotations are JSON objects in text. Files are named after rows, never the other way round.
"""

from __future__ import annotations

_META = """
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""

_NAMESPACES = """
CREATE TABLE namespaces (
    name   TEXT PRIMARY KEY,
    labels TEXT NOT NULL DEFAULT '{}'
) STRICT, WITHOUT ROWID;
"""

# A blob's file exists as long as any namespace has a row for it. ``lost`` rows are invisible: their file is missing or
# damaged, but what they refer to must not be collected before the blob has been fetched again.
_CONTENT = """
CREATE TABLE content (
    namespace  TEXT NOT NULL,
    digest     TEXT NOT NULL,
    size       INTEGER NOT NULL,
    labels     TEXT NOT NULL DEFAULT '{}',
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    lost       INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (namespace, digest)
) STRICT;
CREATE INDEX content_digest ON content (digest);
CREATE TABLE ingests (
    sequence   INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace  TEXT NOT NULL,
    ref        TEXT NOT NULL,
    expected   TEXT NOT NULL DEFAULT '',
    total      INTEGER NOT NULL DEFAULT 0,
    started_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (namespace, ref)
) STRICT;
"""

_IMAGES = """
CREATE TABLE images (
    namespace   TEXT NOT NULL,
    name        TEXT NOT NULL,
    labels      TEXT NOT NULL DEFAULT '{}',
    media_type  TEXT NOT NULL,
    digest      TEXT NOT NULL,
    size        INTEGER NOT NULL,
    annotations TEXT NOT NULL DEFAULT '{}',
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (namespace, name)
) STRICT;
"""

_CONTAINERS = """
CREATE TABLE containers (
    namespace     TEXT NOT NULL,
    id            TEXT NOT NULL,
    labels        TEXT NOT NULL DEFAULT '{}',
    image         TEXT NOT NULL DEFAULT '',
    runtime       TEXT NOT NULL,
    options_type  TEXT,
    options       BLOB,
    spec_type     TEXT,
    spec          BLOB,
    snapshotter   TEXT NOT NULL DEFAULT '',
    snapshot_key  TEXT NOT NULL DEFAULT '',
    sandbox       TEXT NOT NULL DEFAULT '',
    extensions    TEXT NOT NULL DEFAULT '{}',
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    PRIMARY KEY (namespace, id)
) STRICT;
"""

_LEASES = """
CREATE TABLE leases (
    namespace  TEXT NOT NULL,
    id         TEXT NOT NULL,
    labels     TEXT NOT NULL DEFAULT '{}',
    created_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, id)
) STRICT;
CREATE TABLE lease_resources (
    namespace TEXT NOT NULL,
    lease     TEXT NOT NULL,
    type      TEXT NOT NULL,
    id        TEXT NOT NULL,
    PRIMARY KEY (namespace, lease, type, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX lease_resources_held ON lease_resources (namespace, type, id);
"""

# ``id`` names the driver's directory, ``parent`` is an id (0: none). ``boot`` names the boot of a commit whose files
# are not yet known to be on the disk. ``lost`` rows are invisible; a new commit of the same key takes their place.
_SNAPSHOTS = """
CREATE TABLE snapshots (
    snapshotter TEXT NOT NULL,
    id          INTEGER NOT NULL,
    namespace   TEXT NOT NULL,
    key         TEXT NOT NULL,
    parent      INTEGER NOT NULL DEFAULT 0,
    kind        TEXT NOT NULL,
    labels      TEXT NOT NULL DEFAULT '{}',
    size        INTEGER NOT NULL DEFAULT 0,
    inodes      INTEGER NOT NULL DEFAULT 0,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    boot        TEXT NOT NULL DEFAULT '',
    lost        INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (snapshotter, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX snapshots_key ON snapshots (namespace, snapshotter, key) WHERE lost = 0;
CREATE INDEX snapshots_parent ON snapshots (snapshotter, parent);
CREATE INDEX snapshots_unsynced ON snapshots (snapshotter) WHERE boot != '';
"""

# ``number`` names the directory of the mount points; ``active`` and ``system`` are JSON (stores.mountrows).
_MOUNTS = """
CREATE TABLE mounts (
    namespace  TEXT NOT NULL,
    name       TEXT NOT NULL,
    number     INTEGER NOT NULL UNIQUE,
    active     TEXT NOT NULL,
    system     TEXT NOT NULL,
    labels     TEXT NOT NULL DEFAULT '{}',
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, name)
) STRICT;
"""

# Each address of an endpoint is a row, so that none is handed out twice. They sort as numbers do: the family's digit,
# then 32 hex digits. A cursor is the address handed out last. ``link`` names interfaces of the host.
_NETWORKS = """
CREATE TABLE networks (
    namespace  TEXT NOT NULL,
    id         TEXT NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL,
    driver     TEXT NOT NULL,
    settings   TEXT NOT NULL,
    labels     TEXT NOT NULL DEFAULT '{}',
    link       TEXT NOT NULL DEFAULT '',
    removing   INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    UNIQUE (namespace, name)
) STRICT;
CREATE TABLE addresses (
    network  TEXT NOT NULL,
    address  TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    PRIMARY KEY (network, address)
) STRICT, WITHOUT ROWID;
CREATE INDEX addresses_endpoint ON addresses (endpoint);
CREATE TABLE address_cursors (
    network TEXT NOT NULL,
    version INTEGER NOT NULL,
    cursor  TEXT NOT NULL,
    PRIMARY KEY (network, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE endpoints (
    id        TEXT NOT NULL PRIMARY KEY,
    namespace TEXT NOT NULL,
    container TEXT NOT NULL,
    network   TEXT NOT NULL,
    interface TEXT NOT NULL,
    mac       TEXT NOT NULL,
    ip4       TEXT NOT NULL DEFAULT '',
    ip6       TEXT NOT NULL DEFAULT '',
    aliases   TEXT NOT NULL DEFAULT '[]',
    link      TEXT NOT NULL DEFAULT '',
    UNIQUE (namespace, container, network)
) STRICT;
CREATE INDEX endpoints_network ON endpoints (network);
CREATE TABLE sandboxes (
    namespace  TEXT NOT NULL,
    container  TEXT NOT NULL,
    name       TEXT NOT NULL,
    request    TEXT NOT NULL,
    active     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (namespace, container)
) STRICT, WITHOUT ROWID;
CREATE TABLE published_ports (
    namespace      TEXT NOT NULL,
    container      TEXT NOT NULL,
    position       INTEGER NOT NULL,
    proto          TEXT NOT NULL,
    host_ip        TEXT NOT NULL,
    host_port      INTEGER NOT NULL,
    container_port INTEGER NOT NULL,
    PRIMARY KEY (namespace, container, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX published_ports_host ON published_ports (proto, host_port);
"""

# A name is reserved before its container is made; bound or not, it goes with the record. ``INSERT OR REPLACE`` into
# containers fires no delete trigger (recursive_triggers is off), so only a real removal does.
_NAMES = """
CREATE TABLE names (
    namespace   TEXT NOT NULL,
    name        TEXT NOT NULL,
    container   TEXT NOT NULL,
    reserved_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, name),
    UNIQUE (namespace, container)
) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO names
    SELECT namespace, json_extract(labels, '$."io.pycontainerd/name"'), id, created_at FROM containers
    WHERE json_extract(labels, '$."io.pycontainerd/name"') != '' ORDER BY created_at;
CREATE TRIGGER names_released AFTER DELETE ON containers BEGIN
    DELETE FROM names WHERE namespace = OLD.namespace AND container = OLD.id;
END;
"""

# How supervised containers are and ended (stores.runstates); ``pause`` in microseconds, ``health`` JSON or empty.
_TASK_STATE = """
CREATE TABLE task_state (
    namespace   TEXT NOT NULL,
    id          TEXT NOT NULL,
    status      TEXT NOT NULL,
    pid         INTEGER NOT NULL DEFAULT 0,
    exit_code   INTEGER NOT NULL DEFAULT 0,
    oom_killed  INTEGER NOT NULL DEFAULT 0,
    stopped     INTEGER NOT NULL DEFAULT 0,
    error       TEXT NOT NULL DEFAULT '',
    started_at  INTEGER NOT NULL DEFAULT 0,
    finished_at INTEGER NOT NULL DEFAULT 0,
    restarts    INTEGER NOT NULL DEFAULT 0,
    pause       INTEGER NOT NULL DEFAULT 0,
    restart_at  INTEGER NOT NULL DEFAULT 0,
    health      TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (namespace, id)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER task_state_removed AFTER DELETE ON containers BEGIN
    DELETE FROM task_state WHERE namespace = OLD.namespace AND id = OLD.id;
END;
"""

# ``bound`` is how a size is enforced; ``renamed_from`` is set while the directory may still have the old name.
_VOLUMES = """
CREATE TABLE volumes (
    namespace    TEXT NOT NULL,
    name         TEXT NOT NULL,
    driver       TEXT NOT NULL,
    labels       TEXT NOT NULL DEFAULT '{}',
    options      TEXT NOT NULL DEFAULT '{}',
    anonymous    INTEGER NOT NULL DEFAULT 0,
    bound        TEXT NOT NULL DEFAULT '',
    renamed_from TEXT NOT NULL DEFAULT '',
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (namespace, name)
) STRICT, WITHOUT ROWID;
"""

STEPS: tuple[tuple[str, str], ...] = (
    ("meta-1", _META),
    ("namespaces-1", _NAMESPACES),
    ("content-1", _CONTENT),
    ("images-1", _IMAGES),
    ("containers-1", _CONTAINERS),
    ("leases-1", _LEASES),
    ("snapshots-1", _SNAPSHOTS),
    ("mounts-1", _MOUNTS),
    ("networks-1", _NETWORKS),
    ("names-1", _NAMES),
    ("task-state-1", _TASK_STATE),
    ("volumes-1", _VOLUMES),
)
"""Every step, oldest first."""
