-- Times are UTC milliseconds since 1970.

-- Sets of hosts by content: a set that many generations share is kept once.
CREATE TABLE host_set (
    digest BLOB PRIMARY KEY,
    -- JSON: a list of [id, address, display name, given name or null].
    hosts  TEXT NOT NULL
) STRICT;

-- One replacement of one source's whole set.
CREATE TABLE generation (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    source     TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('pending', 'live', 'rejected', 'superseded')),
    set_digest BLOB NOT NULL REFERENCES host_set (digest),
    host_count INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    live_at    INTEGER,
    proved_at  INTEGER,
    reason     TEXT,
    forced     INTEGER NOT NULL,
    restores   INTEGER
) STRICT;

CREATE INDEX generation_by_state ON generation (source, state);
CREATE INDEX generation_by_set ON generation (set_digest);

-- Sets that Nagios died of. Only a forced replacement takes one again.
CREATE TABLE quarantine (
    source     TEXT NOT NULL,
    set_digest BLOB NOT NULL,
    since      INTEGER NOT NULL,
    reason     TEXT NOT NULL,
    PRIMARY KEY (source, set_digest)
) STRICT;

-- The hosts file as it was last given its name. `swapped_at` is taken after
-- the change of names: a Nagios that started later has read this file.
CREATE TABLE applied (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    file_digest TEXT NOT NULL,
    generation  INTEGER NOT NULL,
    swapped_at  INTEGER NOT NULL,
    proved_by   INTEGER
) STRICT;
