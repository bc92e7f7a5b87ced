-- Every row ends in a checksum (of the key too), because SQLite has none: a
-- flipped bit is to be missed, never believed.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value INTEGER NOT NULL,
    sum   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Ids are never given out twice: old rows of a forgotten series stay its own.
CREATE TABLE series (
    id     INTEGER PRIMARY KEY,
    path   TEXT NOT NULL,
    newest INTEGER NOT NULL, -- slot of a point of its newest day
    sum    INTEGER NOT NULL
) STRICT;

-- How far spool files are taken in; written with the points themselves.
CREATE TABLE position (
    file   TEXT PRIMARY KEY,
    offset INTEGER NOT NULL,
    sum    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Points that are in memory only: series u32, slot u32, value f64, ...
CREATE TABLE journal (
    seq    INTEGER PRIMARY KEY,
    points BLOB NOT NULL
) STRICT;

-- What each seal wrote, and in which days; no other rows of segment count.
CREATE TABLE seal (
    number INTEGER NOT NULL,
    block  INTEGER NOT NULL,
    sum    INTEGER NOT NULL,
    PRIMARY KEY (number, block)
) STRICT, WITHOUT ROWID;

-- The days that are not over, a piece a seal. Written in key order.
CREATE TABLE segment (
    number INTEGER NOT NULL,
    series INTEGER NOT NULL,
    block  INTEGER NOT NULL, -- day since 1970
    data   BLOB NOT NULL,
    PRIMARY KEY (number, series, block)
) STRICT, WITHOUT ROWID;

-- The days that are over. Written in key order, so that pages are full, and
-- the oldest day is one range.
CREATE TABLE block (
    block  INTEGER NOT NULL,
    series INTEGER NOT NULL,
    data   BLOB NOT NULL,
    PRIMARY KEY (block, series)
) STRICT, WITHOUT ROWID;
