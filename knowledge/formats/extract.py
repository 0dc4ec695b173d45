"""What a parser gives back, and what it is: bytes -> an Extract a document, an error for a part that is spoilt.

Knows no format. A parser is pure: it opens no file and no connection, whatever its bytes name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from knowledge.errors import BadEncoding, BinaryContent, DocumentError
from knowledge.text import normalise

MAX_TITLE_CHARS = 160


@dataclass(frozen=True, slots=True)
class Extract:
    """One document as a parser found it. What the format does not state is None or empty."""

    text: str
    title: str | None = None
    source: str | None = None
    """Its own name, where one file holds several documents. Only a name: nothing opens it."""
    version: str = ""
    collection: str | None = None
    tags: tuple[str, ...] = ()


Found = tuple[Extract | DocumentError, ...]
"""In the order of the file. Most formats hold one document."""

Parser = Callable[[bytes], Found]
"""Raises DocumentError where nothing can be made of the bytes, RecursionError where they are nested too deeply."""


def decode(data: bytes) -> str:
    """UTF-8, with or without a byte order mark, as normalised text. Raises BinaryContent or BadEncoding."""
    if b"\0" in data:
        raise BinaryContent("contains NUL bytes: a binary file, or text that is not UTF-8")
    try:
        return normalise(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise BadEncoding(f"not UTF-8: byte {data[error.start]:#04x} at offset {error.start:,}") from error


def first_line(text: str) -> str | None:
    """The first line, if it reads like a title: short, and no sentence."""
    line = text.partition("\n")[0].strip()
    return line if 0 < len(line) <= MAX_TITLE_CHARS and line[-1] not in ".,;:!?" else None
