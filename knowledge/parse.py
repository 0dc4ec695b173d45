"""Files or pasted text -> Documents in normal form. The formats are in `knowledge.formats`.

The one door by which text comes in: what leaves here is normalised and free of control tokens. Computes where it is
called: `knowledge.isolation` does the same with foreign parsers in child processes. Knows nothing of blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

from knowledge.document import DEFAULT_COLLECTION, Document
from knowledge.errors import BinaryContent, DocumentError, EmptyDocument, TooLarge
from knowledge.formats.extract import MAX_TITLE_CHARS, Extract, Found, first_line
from knowledge.formats.jsonl import WITHIN
from knowledge.formats.known import extract, recognise
from knowledge.text import neutralise, normalise

MAX_BYTES = 10 * 2**20
"""Of a document's text. A file may have more, as its format allows."""


@dataclass(frozen=True, slots=True)
class Given:
    """What whoever registers a file says of it. Goes before what the file says of itself, tags beside it."""

    source: str | None = None
    title: str | None = None
    version: str | None = None
    collection: str | None = None
    tags: tuple[str, ...] = ()


NOTHING_GIVEN = Given()


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document, and the control tokens that were made harmless in it (to tell whoever registers it)."""

    document: Document
    neutralised: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parsing:
    """What one file gave: its documents, in order, and an error for each part of it that gave none."""

    parsed: tuple[Parsed, ...]
    failures: tuple[DocumentError, ...] = ()


def parse(name: str, data: bytes, given: Given = NOTHING_GIVEN) -> Parsing:
    """A file's content as documents. `name` is only looked at (suffix, title of last resort), never opened.

    Raises DocumentError where it gives no document at all because of what it is; where its parts are to blame, they
    are `failures`.
    """
    try:
        found = extract(recognise(name, data), data)
    except DocumentError as error:
        raise about(name, error) from error
    return composed(name, found, given)


def composed(name: str, found: Found, given: Given = NOTHING_GIVEN) -> Parsing:
    """What a parser found in the file `name`, as documents. Raises DocumentError if it found one, and that is none."""
    parsed: list[Parsed] = []
    failures: list[DocumentError] = []
    sources: set[tuple[str, str]] = set()
    for each in found:
        try:
            if isinstance(each, DocumentError):
                raise about(name, each)
            document = _composed(name, each, given)
            identity = (document.document.collection, document.document.source)
            if identity in sources:
                raise DocumentError(f"{name}: has several documents with the source {identity[1]!r}: only one is taken")
        except DocumentError as error:
            if len(found) == 1:
                raise
            failures.append(error)
        else:
            sources.add(identity)
            parsed.append(document)
    return Parsing(tuple(parsed), tuple(failures))


def about(name: str, error: DocumentError) -> DocumentError:
    """The same error, beginning with the name of the file."""
    return type(error)(f"{name}: {error}")


def _composed(name: str, extract: Extract, given: Given) -> Parsed:
    source = extract.source or ""
    if not source or source.startswith(WITHIN):
        source = (given.source or name) + source
    return compose(
        extract.text,
        source=source,
        title=given.title or extract.title or PurePath(name).stem.removesuffix(".rst"),
        version=extract.version if given.version is None else given.version,
        collection=given.collection or extract.collection or DEFAULT_COLLECTION,
        tags=tuple(dict.fromkeys((*given.tags, *extract.tags))),
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
    heading = neutralise(normalise(" ".join((title or first_line(clean.text) or source).split())))
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
