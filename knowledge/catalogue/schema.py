"""The tables, as migrations. Knows SQL and nothing else.

`blocks` hold the text that is injected, `passages` the vectors, `passage_fts` (same rowids) the text that is searched.
A Library adds its documents, a change log and sketches (see duplicates.py) to that, a Replica who holds what and how
far each origin was read.
"""

from __future__ import annotations

BALLAST_ROWS = 64
"""Empty-handed rows in the search index. BM25 weighs a word by how few of all rows have it; in a catalogue of
three passages every word is in most rows and would weigh nothing. These rows are the rest of the language."""

_SHELF = f"""
CREATE TABLE blocks(
    id INTEGER PRIMARY KEY,
    entry TEXT NOT NULL UNIQUE,
    document_id TEXT NOT NULL,
    kid TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    text TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    source TEXT NOT NULL,
    title TEXT NOT NULL,
    version TEXT NOT NULL,
    collection TEXT NOT NULL,
    tags TEXT NOT NULL
);
CREATE INDEX blocks_by_document ON blocks(document_id, kid);
CREATE INDEX blocks_by_kid ON blocks(kid);

CREATE TABLE passages(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    block INTEGER NOT NULL REFERENCES blocks ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    vector BLOB NOT NULL
);
CREATE INDEX passages_by_block ON passages(block);

CREATE VIRTUAL TABLE passage_fts USING fts5(title, text, tokenize = 'porter unicode61', detail = full);
CREATE TRIGGER passage_text_goes_too AFTER DELETE ON passages BEGIN
    DELETE FROM passage_fts WHERE rowid = old.id;
END;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {BALLAST_ROWS})
INSERT INTO passage_fts(rowid, title, text)
SELECT -i, '', replace(hex(zeroblob(100)), '00', char(0xE000) || ' ') FROM n;
"""

LIBRARY = (
    _SHELF
    + """
CREATE TABLE epoch(id TEXT NOT NULL);
INSERT INTO epoch VALUES (lower(hex(randomblob(16))));

CREATE TABLE documents(
    id TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    title TEXT NOT NULL,
    version TEXT NOT NULL,
    collection TEXT NOT NULL,
    tags TEXT NOT NULL,
    digest TEXT NOT NULL,
    revision INTEGER NOT NULL,
    registered_ms INTEGER NOT NULL
);

CREATE TABLE changes(
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    document_id TEXT NOT NULL,
    kid TEXT NOT NULL,
    UNIQUE (document_id, kid) ON CONFLICT REPLACE
);
""",
    """
CREATE TABLE sketches(
    band INTEGER NOT NULL,
    block INTEGER NOT NULL REFERENCES blocks ON DELETE CASCADE,
    PRIMARY KEY (band, block)
) WITHOUT ROWID;
CREATE INDEX sketches_by_block ON sketches(block);

CREATE INDEX documents_by_place ON documents(collection, source);
CREATE INDEX blocks_by_place ON blocks(collection, source, ordinal);
""",
    """
CREATE TABLE tombstones(
    document_id TEXT PRIMARY KEY,
    deleted_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX tombstones_by_time ON tombstones(deleted_ms);
""",
)

REPLICA = (
    _SHELF
    + """
CREATE TABLE holders(
    block INTEGER NOT NULL REFERENCES blocks ON DELETE CASCADE,
    origin TEXT NOT NULL,
    generation INTEGER NOT NULL,
    registered_ms INTEGER NOT NULL,
    PRIMARY KEY (block, origin)
) WITHOUT ROWID;
CREATE INDEX holders_by_origin ON holders(origin, generation);

CREATE TABLE cursors(
    origin TEXT PRIMARY KEY,
    epoch TEXT NOT NULL,
    seq INTEGER NOT NULL,
    generation INTEGER NOT NULL
);
""",
    """
DROP TABLE holders;
DELETE FROM cursors;
DELETE FROM blocks;

CREATE TABLE versions(
    id INTEGER PRIMARY KEY,
    origin TEXT NOT NULL,
    document_id TEXT NOT NULL,
    registered_ms INTEGER NOT NULL,
    digest TEXT NOT NULL,
    n_blocks INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    UNIQUE (origin, document_id, registered_ms, digest)
);
CREATE INDEX versions_by_document ON versions(document_id);
CREATE INDEX versions_by_generation ON versions(origin, generation);

CREATE TABLE entries(
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    document_id TEXT NOT NULL,
    kid TEXT NOT NULL,
    packed TEXT,
    vectors BLOB
);
CREATE INDEX entries_by_document ON entries(document_id);
CREATE INDEX entries_by_kid ON entries(kid);

CREATE TABLE holders(
    version INTEGER NOT NULL REFERENCES versions ON DELETE CASCADE,
    entry INTEGER NOT NULL REFERENCES entries ON DELETE CASCADE,
    PRIMARY KEY (version, entry)
) WITHOUT ROWID;
CREATE INDEX holders_by_entry ON holders(entry);

CREATE TABLE tombstones(
    document_id TEXT PRIMARY KEY,
    deleted_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX tombstones_by_time ON tombstones(deleted_ms);
""",
)
