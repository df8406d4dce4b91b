"""What is in `tracking.db`, and how to read it with nothing but `sqlite3`.

Numbers by name, without decoding anything:

    sqlite3 tracking.db "SELECT metric, value FROM latest WHERE metric LIKE 'val/%'"
    sqlite3 tracking.db "SELECT kind, json_extract(body, '$.t') FROM event"

All values of a metric are in chunks of up to 1024, as packed little-endian arrays:

    for rows, first, count, data in database.execute(
        "SELECT rows, first_row, chunk.count, data FROM chunk JOIN series ON series.id = series"
        " WHERE role = 'metric' AND name = ? ORDER BY writer, first_row", [name]):
        y = struct.unpack(f"<{count}d", data)
        row = range(first, first + count) if rows is None else struct.unpack(f"<{count}I", rows)

`row` counts the rows of a writer that are valid, from 0. What a row's x-axes are is found the same
way: an axis (role `axis`, and `row` for Step, Wall Time and Process Time) has a value only where it
changes, and keeps it until its next one; NaN means that the row lacks the axis.

`writer`   a `tracking/*.jsonl`: how many bytes of it are in the index, and what they look like.
`series`   one metric or axis of one writer; `last_value` is NULL for NaN and for other kinds.
`chunk`    its numbers. All chunks but the last of a series are full.
`summary`  of each full chunk: float64 [blocks, 7], see `pyramid.py`.
`object`   values that are no numbers, as they stand in the record (JSON).
`event`    the record's lines that are no rows (JSON).

There is no migration: an index of another `VERSION` is thrown away and built again.
"""

VERSION = 1
"""To be raised with every change to the tables or to the meaning of what is in them."""

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value);
CREATE TABLE writer (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    offset INTEGER NOT NULL DEFAULT 0,
    head_size INTEGER NOT NULL DEFAULT 0,
    head BLOB,
    tail BLOB,
    entries INTEGER NOT NULL DEFAULT 0,
    rows INTEGER NOT NULL DEFAULT 0,
    generation INTEGER NOT NULL DEFAULT -1,
    step INTEGER NOT NULL DEFAULT -1,
    session_time REAL,
    session_base REAL NOT NULL DEFAULT 0,
    process_time REAL NOT NULL DEFAULT 0,
    time REAL
);
CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    writer INTEGER NOT NULL REFERENCES writer,
    role TEXT NOT NULL CHECK (role IN ('metric', 'axis', 'row')),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    count INTEGER NOT NULL DEFAULT 0,
    last_row INTEGER NOT NULL DEFAULT -1,
    last_value REAL,
    UNIQUE (writer, role, name)
);
CREATE TABLE chunk (
    series INTEGER NOT NULL REFERENCES series,
    first_row INTEGER NOT NULL,
    last_row INTEGER NOT NULL,
    count INTEGER NOT NULL,
    rows BLOB,
    data BLOB NOT NULL,
    PRIMARY KEY (series, first_row)
);
CREATE TABLE summary (
    series INTEGER NOT NULL REFERENCES series,
    first_row INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (series, first_row)
) WITHOUT ROWID;
CREATE TABLE object (
    series INTEGER NOT NULL REFERENCES series,
    row INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (series, row)
) WITHOUT ROWID;
CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    writer INTEGER NOT NULL REFERENCES writer,
    kind TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE VIEW latest AS
    SELECT series.name AS metric, writer.name AS writer, kind, count, last_value AS value, last_row
    FROM series JOIN writer ON writer.id = series.writer
    WHERE role = 'metric';
"""
