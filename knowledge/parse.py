"""Bytes or pasted text -> a Document in normal form. One registry: suffix -> parser.

The one door by which text comes in: what leaves here is normalised and free of control tokens.
A new format is one parser and one line in PARSERS. Knows nothing of blocks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from types import MappingProxyType

from knowledge.document import DEFAULT_COLLECTION, Document
from knowledge.errors import BadEncoding, BinaryContent, EmptyDocument, TooLarge, UnknownFormat
from knowledge.text import neutralise, normalise

MAX_BYTES = 10 * 2**20
MAX_TITLE_CHARS = 160

_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Extract:
    """What a parser found: the text, and the title if the format or the text itself states one."""

    text: str
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document, and the control tokens that were made harmless in it (to tell whoever registers it)."""

    document: Document
    neutralised: tuple[str, ...]


Parser = Callable[[bytes], Extract]


def parse(
    name: str,
    data: bytes,
    *,
    source: str | None = None,
    title: str | None = None,
    version: str = "",
    collection: str = DEFAULT_COLLECTION,
    tags: tuple[str, ...] = (),
    max_bytes: int = MAX_BYTES,
) -> Parsed:
    """A file's content as a document. `name` is only looked at (suffix, title of last resort), never opened.

    Raises UnknownFormat, BinaryContent, BadEncoding, EmptyDocument or TooLarge.
    """
    path = PurePath(name)
    parser = PARSERS.get(path.suffix.lower())
    if parser is None:
        raise UnknownFormat(f"{name}: no parser for {path.suffix or 'a name without suffix'!r}; "
                            f"known are {', '.join(PARSERS)}")  # fmt: skip
    if len(data) > max_bytes:
        raise TooLarge(f"{name}: {len(data):,} bytes, more than the {max_bytes:,} allowed")
    try:
        extract = parser(data)
    except (BinaryContent, BadEncoding) as error:
        raise type(error)(f"{name}: {error}") from error
    return compose(
        extract.text,
        source=source or name,
        title=title or extract.title or path.stem,
        version=version,
        collection=collection,
        tags=tags,
        max_bytes=max_bytes,
    )


def compose(
    text: str,
    *,
    source: str,
    title: str | None = None,
    version: str = "",
    collection: str = DEFAULT_COLLECTION,
    tags: tuple[str, ...] = (),
    max_bytes: int = MAX_BYTES,
) -> Parsed:
    """Text that is at hand (a paste, a parser's result) as a document.

    Raises BinaryContent, EmptyDocument or TooLarge.
    """
    if "\0" in text:
        raise BinaryContent(f"{source}: contains NUL characters, so it is not text")
    clean = neutralise(normalise(text))
    if not clean.text:
        raise EmptyDocument(f"{source}: nothing but white space")
    if len(clean.text.encode()) > max_bytes:
        raise TooLarge(f"{source}: {len(clean.text.encode()):,} bytes, more than the {max_bytes:,} allowed")
    heading = neutralise(normalise(" ".join((title or _first_line(clean.text) or source).split())))
    return Parsed(
        Document(
            source=normalise(source),
            title=heading.text[:MAX_TITLE_CHARS].rstrip(),
            text=clean.text,
            version=normalise(version),
            collection=normalise(collection),
            tags=tuple(map(normalise, tags)),
        ),
        neutralised=tuple(dict.fromkeys(clean.found + heading.found)),
    )


def plain(data: bytes) -> Extract:
    text = decode(data)
    return Extract(text, _first_line(text))


def markdown(data: bytes) -> Extract:
    text = decode(data)
    heading = _HEADING.search(text)
    return Extract(text, heading[1] if heading else _first_line(text))


def decode(data: bytes) -> str:
    """UTF-8, with or without a byte order mark, as normalised text. Raises BinaryContent or BadEncoding."""
    if b"\0" in data:
        raise BinaryContent("contains NUL bytes: a binary file, or text that is not UTF-8")
    try:
        return normalise(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise BadEncoding(f"not UTF-8: byte {data[error.start]:#04x} at offset {error.start:,}") from error


def _first_line(text: str) -> str | None:
    """The first line, if it reads like a title: short, and no sentence."""
    line = text.partition("\n")[0].strip()
    return line if 0 < len(line) <= MAX_TITLE_CHARS and line[-1] not in ".,;:!?" else None


PARSERS: Mapping[str, Parser] = MappingProxyType({".txt": plain, ".md": markdown, ".markdown": markdown})
"""What can be read, by suffix in lower case."""
