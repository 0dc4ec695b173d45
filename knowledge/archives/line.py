"""One document as a line of an archive, with its blocks, passages and vectors; and back, every part of it checked.

Control tokens, texts that are not in normal form, kids that are not their text's and passages from elsewhere are
refused: what comes in by an archive is what `parse.compose` and `cut.draft` could have made.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from knowledge.catalogue.shelf import vectors_of
from knowledge.document import Block, Document, Draft, Passage
from knowledge.embedding import Vectors, checked
from knowledge.errors import ArchiveError, EmbeddingError
from knowledge.parse import MAX_BYTES, MAX_TITLE_CHARS
from knowledge.text import kid_of, neutralise, normalise


@dataclass(frozen=True, slots=True)
class Archived:
    """A document with its passages' vectors; None where an archive has those of another model."""

    draft: Draft
    vectors: Vectors | None


class _Passage(Struct, frozen=True):
    title: str
    text: str


class _Block(Struct, frozen=True):
    kid: str
    text: str
    tokens: int
    passages: tuple[_Passage, ...]


class _Line(Struct, frozen=True, kw_only=True):
    source: str
    title: str
    version: str
    collection: str
    tags: tuple[str, ...]
    blocks: tuple[_Block, ...]
    vectors: str
    """base64 of float32, little endian, [number of passages, dimensions]."""


def encoded(archived: Archived) -> bytes:
    """The line, without its end."""
    draft, document = archived.draft, archived.draft.document
    passages: dict[str, list[_Passage]] = {block.kid: [] for block in draft.blocks}
    for passage in draft.passages:
        passages[passage.kid].append(_Passage(passage.title, passage.text))
    line = _Line(
        source=document.source,
        title=document.title,
        version=document.version,
        collection=document.collection,
        tags=document.tags,
        blocks=tuple(_Block(block.kid, block.text, block.tokens, tuple(passages[block.kid])) for block in draft.blocks),
        vectors=_packed(archived.vectors),
    )
    return msgspec.json.encode(line)


def decoded(content: bytes, *, with_vectors: bool) -> Archived:
    """The document in a line. Raises ArchiveError saying what is wrong with it."""
    try:
        line = msgspec.json.decode(content, type=_Line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ArchiveError(f"it is no document: {error}") from error
    _check_facts(line)
    _check_blocks(line)
    draft = _draft(line)
    return Archived(draft, _vectors(line, len(draft.passages)) if with_vectors else None)


def _check_facts(line: _Line) -> None:
    for name, text in (("source", line.source), ("collection", line.collection)):
        _expect(text, f"its {name} is empty")
    for text in (line.source, line.collection, line.version, *line.tags):
        _expect(normalise(text) == text and "\0" not in text, "its facts are not in normal form")
    _expect(_clean(line.title) and len(line.title) <= MAX_TITLE_CHARS, "its title is not in normal form")


def _check_blocks(line: _Line) -> None:
    _expect(line.blocks, "it has no blocks")
    _expect(
        sum(len(block.text.encode()) for block in line.blocks) <= MAX_BYTES, f"it has more than {MAX_BYTES:,} bytes"
    )
    [(kid, times)] = Counter(block.kid for block in line.blocks).most_common(1)
    _expect(times == 1, f"block {kid} is in it {times} times")
    for block in line.blocks:
        _expect(block.text and _clean(block.text), f"the text of block {block.kid} is not in normal form")
        _expect(kid_of(block.text) == block.kid, f"block {block.kid} has another text than its kid says")
        _expect(0 < block.tokens <= len(block.text.encode()), f"block {block.kid} cannot have {block.tokens} tokens")
        _expect(block.passages, f"block {block.kid} has no passages")
        for passage in block.passages:
            known = passage.text and passage.text in block.text and passage.title in line.title
            _expect(known, f"a passage of block {block.kid} is not from its text")


def _draft(line: _Line) -> Draft:
    document = Document(
        source=line.source,
        title=line.title,
        text="\n\n".join(block.text for block in line.blocks),
        version=line.version,
        collection=line.collection,
        tags=line.tags,
    )
    blocks = tuple(
        Block(
            kid=block.kid,
            ordinal=ordinal,
            text=block.text,
            tokens=block.tokens,
            source=line.source,
            title=line.title,
            version=line.version,
            collection=line.collection,
            tags=line.tags,
        )
        for ordinal, block in enumerate(line.blocks)
    )
    passages = tuple(
        Passage(block.kid, ordinal, passage.title, passage.text)
        for block in line.blocks
        for ordinal, passage in enumerate(block.passages)
    )
    return Draft(document, blocks, passages)


def _packed(vectors: Vectors | None) -> str:
    return "" if vectors is None else base64.b64encode(vectors.astype("<f4").tobytes()).decode()


def _vectors(line: _Line, rows: int) -> Vectors:
    try:
        return checked(vectors_of(base64.b64decode(line.vectors, validate=True)), rows)
    except (EmbeddingError, binascii.Error, ValueError) as error:
        raise ArchiveError(f"its vectors cannot be used: {error}") from error


def _clean(text: str) -> bool:
    return "\0" not in text and neutralise(normalise(text)).text == text


def _expect(condition: object, otherwise: str) -> None:
    if not condition:
        raise ArchiveError(otherwise)
