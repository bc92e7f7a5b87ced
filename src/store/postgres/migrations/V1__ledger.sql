-- Times are UTC seconds since 1970, but for the lease's milliseconds. Every
-- number is given under the writer's lock; none is given twice.

-- The greatest revision of all rows below that have one.
CREATE TABLE ledger (
    one      BIGINT PRIMARY KEY CHECK (one = 1),
    revision BIGINT NOT NULL
);
INSERT INTO ledger (one, revision) VALUES (1, 0);

-- Who may write. A writer of an older epoch changes nothing.
CREATE TABLE lease (
    one     BIGINT PRIMARY KEY CHECK (one = 1),
    epoch   BIGINT NOT NULL,
    holder  TEXT NOT NULL,
    -- By the database's clock.
    expires BIGINT NOT NULL
);
INSERT INTO lease (one, epoch, holder, expires) VALUES (1, 0, '', 0);

CREATE TABLE cloud (
    id         BIGINT PRIMARY KEY,
    revision   BIGINT NOT NULL UNIQUE,
    name       TEXT NOT NULL UNIQUE,
    -- How many listings were applied, and when the last one was: by the
    -- ledger's time of the cloud, and by the clock of whoever listed.
    listing    BIGINT NOT NULL,
    listed_at  BIGINT,
    noticed_at BIGINT
);

-- One name is one user in all clouds.
CREATE TABLE account (
    id       BIGINT PRIMARY KEY,
    revision BIGINT NOT NULL UNIQUE,
    name     TEXT NOT NULL UNIQUE,
    -- NULL: the directory was not asked yet.
    is_staff BOOLEAN
);

CREATE TABLE flavor (
    id       BIGINT PRIMARY KEY,
    revision BIGINT NOT NULL UNIQUE,
    cloud    BIGINT NOT NULL REFERENCES cloud (id),
    key      TEXT NOT NULL,
    name     TEXT NOT NULL,
    UNIQUE (cloud, key)
);

CREATE TABLE instance (
    id              BIGINT PRIMARY KEY,
    cloud           BIGINT NOT NULL REFERENCES cloud (id),
    key             TEXT NOT NULL,
    incarnation     BIGINT NOT NULL,
    created         BIGINT,
    account         BIGINT NOT NULL REFERENCES account (id),
    -- 0: the cloud's id, 1: its user name, 2: the instance's metadata.
    owner_rank      BIGINT NOT NULL CHECK (owner_rank BETWEEN 0 AND 2),
    name            TEXT NOT NULL,
    image           TEXT NOT NULL,
    status          TEXT NOT NULL,
    -- Best first, with a space between.
    addresses       TEXT NOT NULL,
    missing_since   BIGINT,
    missing_noticed BIGINT,
    missing_ends    BIGINT,
    gone_at         BIGINT,
    gone_explained  BOOLEAN NOT NULL,
    -- The id of its last segment that was not deleted.
    last_segment    BIGINT,
    UNIQUE (cloud, key, incarnation)
);
-- One id, one living instance.
CREATE UNIQUE INDEX instance_live ON instance (cloud, key) WHERE gone_at IS NULL;

CREATE TABLE segment (
    revision   BIGINT PRIMARY KEY,
    id         BIGINT NOT NULL UNIQUE,
    instance   BIGINT NOT NULL REFERENCES instance (id),
    account    BIGINT NOT NULL REFERENCES account (id),
    cloud      BIGINT NOT NULL REFERENCES cloud (id),
    flavor     BIGINT NOT NULL REFERENCES flavor (id),
    vcpus      BIGINT CHECK (vcpus >= 0),
    memory_mib BIGINT CHECK (memory_mib >= 0),
    disk_gib   BIGINT CHECK (disk_gib >= 0),
    counted    BOOLEAN NOT NULL,
    begins     BIGINT NOT NULL,
    -- 0: an estimate, 1: a listing showed it, 2: the cloud told the time.
    begins_by  BIGINT NOT NULL CHECK (begins_by BETWEEN 0 AND 2),
    ends       BIGINT,
    ends_by    BIGINT CHECK (ends_by BETWEEN 0 AND 2),
    deleted    BOOLEAN NOT NULL,
    CHECK (ends > begins)
);
CREATE INDEX segment_by_instance ON segment (instance);
-- At most one of an instance goes on.
CREATE UNIQUE INDEX segment_open ON segment (instance) WHERE ends IS NULL AND NOT deleted;

-- Stretches in which nobody looked at a cloud.
CREATE TABLE gap (
    cloud  BIGINT NOT NULL REFERENCES cloud (id),
    begins BIGINT NOT NULL,
    ends   BIGINT NOT NULL,
    PRIMARY KEY (cloud, begins),
    CHECK (ends > begins)
);

-- What was applied, so that a run whose commit was in doubt can be run again.
CREATE TABLE run (
    id        TEXT PRIMARY KEY,
    cloud     BIGINT NOT NULL REFERENCES cloud (id),
    listing   BIGINT NOT NULL,
    listed_at BIGINT NOT NULL,
    revision  BIGINT NOT NULL
);
CREATE INDEX run_by_listing ON run (cloud, listing);
