-- Times are UTC seconds since 1970, but for the lease's milliseconds. Every
-- number is given under the writer's lock; none is given twice.

-- The greatest revision of all rows below that have one.
CREATE TABLE ledger (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    revision INTEGER NOT NULL
) STRICT;
INSERT INTO ledger (one, revision) VALUES (1, 0);

-- Who may write. A writer of an older epoch changes nothing.
CREATE TABLE lease (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    epoch   INTEGER NOT NULL,
    holder  TEXT NOT NULL,
    -- By the database's clock.
    expires INTEGER NOT NULL
) STRICT;
INSERT INTO lease (one, epoch, holder, expires) VALUES (1, 0, '', 0);

CREATE TABLE cloud (
    id         INTEGER PRIMARY KEY,
    revision   INTEGER NOT NULL UNIQUE,
    name       TEXT NOT NULL UNIQUE,
    -- How many listings were applied, and when the last one was: by the
    -- ledger's time of the cloud, and by the clock of whoever listed.
    listing    INTEGER NOT NULL,
    listed_at  INTEGER,
    noticed_at INTEGER
) STRICT;

-- One name is one user in all clouds.
CREATE TABLE account (
    id       INTEGER PRIMARY KEY,
    revision INTEGER NOT NULL UNIQUE,
    name     TEXT NOT NULL UNIQUE,
    -- NULL: the directory was not asked yet.
    is_staff INTEGER CHECK (is_staff IN (0, 1))
) STRICT;

CREATE TABLE flavor (
    id       INTEGER PRIMARY KEY,
    revision INTEGER NOT NULL UNIQUE,
    cloud    INTEGER NOT NULL REFERENCES cloud (id),
    key      TEXT NOT NULL,
    name     TEXT NOT NULL,
    UNIQUE (cloud, key)
) STRICT;

CREATE TABLE instance (
    id              INTEGER PRIMARY KEY,
    cloud           INTEGER NOT NULL REFERENCES cloud (id),
    key             TEXT NOT NULL,
    incarnation     INTEGER NOT NULL,
    created         INTEGER,
    account         INTEGER NOT NULL REFERENCES account (id),
    -- 0: the cloud's id, 1: its user name, 2: the instance's metadata.
    owner_rank      INTEGER NOT NULL CHECK (owner_rank BETWEEN 0 AND 2),
    name            TEXT NOT NULL,
    image           TEXT NOT NULL,
    status          TEXT NOT NULL,
    -- Best first, with a space between.
    addresses       TEXT NOT NULL,
    missing_since   INTEGER,
    missing_noticed INTEGER,
    missing_ends    INTEGER,
    gone_at         INTEGER,
    gone_explained  INTEGER NOT NULL CHECK (gone_explained IN (0, 1)),
    -- The id of its last segment that was not deleted.
    last_segment    INTEGER,
    UNIQUE (cloud, key, incarnation)
) STRICT;
-- One id, one living instance.
CREATE UNIQUE INDEX instance_live ON instance (cloud, key) WHERE gone_at IS NULL;

-- Clustered by revision, for readers that ask for what is newer.
CREATE TABLE segment (
    revision   INTEGER PRIMARY KEY,
    id         INTEGER NOT NULL UNIQUE,
    instance   INTEGER NOT NULL REFERENCES instance (id),
    account    INTEGER NOT NULL REFERENCES account (id),
    cloud      INTEGER NOT NULL REFERENCES cloud (id),
    flavor     INTEGER NOT NULL REFERENCES flavor (id),
    vcpus      INTEGER CHECK (vcpus >= 0),
    memory_mib INTEGER CHECK (memory_mib >= 0),
    disk_gib   INTEGER CHECK (disk_gib >= 0),
    counted    INTEGER NOT NULL CHECK (counted IN (0, 1)),
    begins     INTEGER NOT NULL,
    -- 0: an estimate, 1: a listing showed it, 2: the cloud told the time.
    begins_by  INTEGER NOT NULL CHECK (begins_by BETWEEN 0 AND 2),
    ends       INTEGER,
    ends_by    INTEGER CHECK (ends_by BETWEEN 0 AND 2),
    deleted    INTEGER NOT NULL CHECK (deleted IN (0, 1)),
    CHECK (ends > begins)
) STRICT;
CREATE INDEX segment_by_instance ON segment (instance);
-- At most one of an instance goes on.
CREATE UNIQUE INDEX segment_open ON segment (instance) WHERE ends IS NULL AND deleted = 0;

-- Stretches in which nobody looked at a cloud.
CREATE TABLE gap (
    cloud  INTEGER NOT NULL REFERENCES cloud (id),
    begins INTEGER NOT NULL,
    ends   INTEGER NOT NULL,
    PRIMARY KEY (cloud, begins),
    CHECK (ends > begins)
) STRICT;

-- What was applied, so that a run whose commit was in doubt can be run again.
CREATE TABLE run (
    id        TEXT PRIMARY KEY,
    cloud     INTEGER NOT NULL REFERENCES cloud (id),
    listing   INTEGER NOT NULL,
    listed_at INTEGER NOT NULL,
    revision  INTEGER NOT NULL
) STRICT;
CREATE INDEX run_by_listing ON run (cloud, listing);
