-- How far each sink has taken the files of the perfdata spool. A row goes with
-- its file. Times are UTC milliseconds since 1970.
CREATE TABLE shipped (
    sink     TEXT NOT NULL,
    file     TEXT NOT NULL,
    inode    INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    -- Offset up to which the sink has given its receipt.
    received INTEGER NOT NULL,
    -- When it had the whole file.
    done_at  INTEGER,
    PRIMARY KEY (sink, file, inode, modified)
) STRICT, WITHOUT ROWID;
