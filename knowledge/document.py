"""What knowledge is made of, as values: a document, the blocks it is cut into, the passages that find them.

Knows nothing of how they are parsed, cut, stored or searched.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

DEFAULT_COLLECTION = "default"


@dataclass(frozen=True, slots=True)
class Document:
    """One text from one source. `parse.compose` and `parse.parse` make it, with its text in normal form.

    `source` within `collection` is its identity: the same pair again is a new version of this document.
    `version` is the caller's own label (a date, a tag, a commit) and is not interpreted.
    """

    source: str
    title: str
    text: str
    version: str = ""
    collection: str = DEFAULT_COLLECTION
    tags: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return document_id(self.collection, self.source)


@dataclass(frozen=True, slots=True)
class Block:
    """What is injected: a piece of a document that fits an engine's budget, with the facts of its document.

    `kid` names the text alone: the same text has the same kid in whatever document it stands.
    `tokens` is its length as counted when it was cut.
    """

    kid: str
    ordinal: int
    text: str
    tokens: int
    source: str
    title: str
    version: str = ""
    collection: str = DEFAULT_COLLECTION
    tags: tuple[str, ...] = ()

    @property
    def document_id(self) -> str:
        return document_id(self.collection, self.source)


@dataclass(frozen=True, slots=True)
class Passage:
    """What is embedded and searched: a paragraph, or a part of a long one, that points to its block."""

    kid: str
    ordinal: int
    title: str
    text: str

    @property
    def embedded(self) -> str:
        """What the embedder is given: the title says what a paragraph in the middle is about."""
        return embedded(self.title, self.text)


@dataclass(frozen=True, slots=True)
class Draft:
    """A document cut and ready to be embedded: `passages` in the order of their `blocks`."""

    document: Document
    blocks: tuple[Block, ...]
    passages: tuple[Passage, ...]


def document_id(collection: str, source: str) -> str:
    """128 bits of sha256 over collection and source, as 32 hex digits: the same on every KDN."""
    return hashlib.sha256(f"{collection}\0{source}".encode()).hexdigest()[:32]


def embedded(title: str, text: str) -> str:
    return f"{title}\n{text}" if title else text
