"""JSON Lines: a document a line. A line that cannot be used is an error of its own, and spoils no other.

    {"text": "...", "title": "...", "source": "...", "version": "...", "tags": ["..."], "collection": "..."}

`content` may stand for `text`. `source` is a document's lasting name; an `id` is one within this file, as is the
number of the line where there is neither. Fields that are not named here are let be.
"""

from __future__ import annotations

import io
from typing import Annotated

import msgspec

from knowledge.errors import BinaryContent, BrokenContent, DocumentError, EmptyDocument, TooLarge
from knowledge.formats.extract import Extract, Found, first_line

WITHIN = "#"
"""A source that begins with it is one within the file: the file's own source goes before it."""
MAX_DOCUMENTS = 100_000
MAX_BAD_LINES = 100
"""A file with more is no JSONL, or not of documents."""


class _Line(msgspec.Struct, frozen=True):
    text: str | None = None
    content: str | None = None
    title: str | None = None
    source: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    id: str | int | None = None
    version: str | int | float | None = None
    collection: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    tags: tuple[str, ...] | None = None


def lines(data: bytes) -> Found:
    """Raises EmptyDocument where no line holds anything, TooLarge, BrokenContent where hardly one can be used."""
    decoder = msgspec.json.Decoder(_Line)
    found: list[Extract | DocumentError] = []
    bad = 0
    for number, line in enumerate(io.BytesIO(data.removeprefix(b"\xef\xbb\xbf")), start=1):
        if not line.strip():
            continue
        found.append(_extract(decoder, number, line))
        bad += isinstance(found[-1], DocumentError)
        if len(found) > MAX_DOCUMENTS:
            raise TooLarge(f"holds more than {MAX_DOCUMENTS:,} documents: split it")
        if bad > MAX_BAD_LINES:
            raise BrokenContent(f"has more than {MAX_BAD_LINES} lines that cannot be used, the last: {found[-1]}")
    if not found:
        raise EmptyDocument("no line holds a document")
    if all(isinstance(each, EmptyDocument) for each in found):
        raise EmptyDocument(f'no line of {len(found):,} has a "text" (or "content"): it is a file of something else')
    return tuple(found)


def _extract(decoder: msgspec.json.Decoder[_Line], number: int, raw: bytes) -> Extract | DocumentError:
    try:
        line = decoder.decode(raw.strip())
    except RecursionError:
        return BrokenContent(f"line {number:,}: nested too deeply")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return BrokenContent(f"line {number:,}: {error}")
    text = line.text if line.text is not None else line.content
    if text is None or not text.strip():
        return EmptyDocument(f'line {number:,}: no "text" (or "content") in it')
    if "\0" in text:
        return BinaryContent(f"line {number:,}: its text contains NUL characters")
    return Extract(
        text,
        line.title or first_line(text),
        line.source or f"{WITHIN}{number if line.id is None or line.id == '' else line.id}",
        version="" if line.version is None else str(line.version),
        collection=line.collection,
        tags=line.tags or (),
    )
