"""Which blocks come from a document that is named by the end of its source, as people name files."""

from __future__ import annotations

from knowledge.catalogue.shelf import Shelf


def count_blocks(shelf: Shelf) -> int:
    with shelf.read() as connection:
        return connection.execute("SELECT count(*) FROM blocks").fetchone()[0]


def kids_of(shelf: Shelf, document: str, phrase: str = "") -> tuple[bool, frozenset[str]]:
    """Whether any source ends with `document`, and the kids of its blocks that contain `phrase`, however either is
    wrapped into lines."""
    with shelf.read() as connection:
        rows = connection.execute(
            "SELECT kid, text FROM blocks WHERE substr(source, -length(:end)) = :end", {"end": document}
        ).fetchall()
    wanted = _unwrapped(phrase)
    return bool(rows), frozenset(row["kid"] for row in rows if wanted in _unwrapped(row["text"]))


def _unwrapped(text: str) -> str:
    return " ".join(text.split())
