"""Questions whose right answer is known, and the documents that answer them: our samples, XQuAD, and chit-chat.

Reads files, asks nothing. XQuAD is no part of this project: it is read where CACHEROUTE_EVAL_DATA names a directory
that has it as `qa/xquad.en.json`.
"""

import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from msgspec import Struct

from cacheroute.errors import NotFound
from knowledge.document import Document
from knowledge.parse import compose

EVAL_DATA = "CACHEROUTE_EVAL_DATA"
XQUAD = Path("qa", "xquad.en.json")


class Asked(Struct, frozen=True, kw_only=True):
    """A question. `source`: of the document that answers it; empty: none does."""

    question: str
    source: str = ""


class Article(Struct, frozen=True, kw_only=True):
    """Paragraphs on one subject, each a document of its own, and what is asked about them."""

    documents: tuple[Document, ...]
    asked: tuple[Asked, ...]


class XQuad(Struct, frozen=True, kw_only=True):
    """Its articles in two halves: one to fit on, one that is only ever measured."""

    fitted: tuple[Article, ...]
    held_out: tuple[Article, ...]


def xquad() -> XQuad:
    """Raises NotFound where it is not to be had."""
    folder = os.environ.get(EVAL_DATA)
    if not folder:
        raise NotFound(f"{EVAL_DATA} names no directory with evaluation data")
    path = Path(folder) / XQUAD
    if not path.is_file():
        raise NotFound(f"{EVAL_DATA} names {folder}, which has no {XQUAD}")
    articles = [_article(number, raw) for number, raw in enumerate(msgspec.json.decode(path.read_bytes())["data"])]
    Random(1).shuffle(articles)
    half = len(articles) // 2
    return XQuad(fitted=tuple(articles[:half]), held_out=tuple(articles[half:]))


def samples() -> Article:
    """The sample documents with their questions, as one article."""
    folder = files("knowledge") / "samples"
    documents = tuple(
        _markdown(entry.name, entry.read_text("utf-8"))
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".md")
    )
    lines = (folder / "questions.jsonl").read_text("utf-8").splitlines()
    rows: list[dict[str, Any]] = [msgspec.json.decode(line) for line in lines]
    return Article(
        documents=documents,
        asked=tuple(Asked(question=row["question"], source=row["document"] or "") for row in rows),
    )


def prompts(name: str) -> tuple[str, ...]:
    """Chit-chat and coding prompts, which no document answers: those of `data/<name>.txt`, one a line."""
    return tuple((files("cacheroute.bench") / "data" / f"{name}.txt").read_text("utf-8").splitlines())


def documents_of(articles: Sequence[Article]) -> list[Document]:
    return [document for article in articles for document in article.documents]


def asked_of(articles: Sequence[Article]) -> list[Asked]:
    return [asked for article in articles for asked in article.asked]


def _markdown(name: str, text: str) -> Document:
    """Titled by its first heading, as registration does."""
    return compose(text, source=name, title=text.partition("\n")[0].lstrip("# ")).document


def _article(number: int, raw: Any) -> Article:
    title = raw["title"].replace("_", " ")
    sources = [f"xquad/{number}/{place}" for place in range(len(raw["paragraphs"]))]
    return Article(
        documents=tuple(
            compose(paragraph["context"], source=source, title=title).document
            for source, paragraph in zip(sources, raw["paragraphs"], strict=True)
        ),
        asked=tuple(
            Asked(question=each["question"], source=source)
            for source, paragraph in zip(sources, raw["paragraphs"], strict=True)
            for each in paragraph["qas"]
        ),
    )
