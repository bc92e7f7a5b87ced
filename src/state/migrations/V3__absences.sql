-- Instances that a cloud no longer shows without a word about it, as far as
-- the ledger does not keep them or a decision about them must outlast a
-- restart. Times are UTC seconds since 1970.
CREATE TABLE absence (
    cloud       TEXT NOT NULL,
    instance    TEXT NOT NULL,
    -- The first complete listing without it, by the ledger's time of its cloud.
    since       INTEGER NOT NULL,
    -- The same by this host's clock.
    noticed     INTEGER NOT NULL,
    held_at     INTEGER,
    held_by     TEXT CHECK (held_by IN ('brake', 'witness')),
    released_at INTEGER,
    PRIMARY KEY (cloud, instance),
    CHECK ((held_at IS NULL) = (held_by IS NULL)),
    CHECK (released_at IS NULL OR held_at IS NOT NULL)
) STRICT, WITHOUT ROWID;

-- By this name the appliance takes the lease of a ledger that several share.
CREATE TABLE appliance (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id  TEXT NOT NULL
) STRICT;
INSERT INTO appliance (one, id) VALUES (1, lower(hex(randomblob(8))));
