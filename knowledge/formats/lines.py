"""Lines as they were set on pages -> paragraphs: wrapped lines joined, hyphens at line ends taken back, running heads
and page numbers left out, dots of a table of contents shortened. Pure; knows no PDF.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_NUMBER = re.compile(r"[\W_]*(page|seite|p\.)?\s*(\d{1,5}|[ivxlc]{1,7})\s*((of|/|von)\s*\d{1,5})?[\W_]*", re.IGNORECASE)
_DIGITS = re.compile(r"\d+")
_BULLET = re.compile(r"\s*(?:[•●▪◦‣–*-]|\(?[0-9]{1,3}[.)]|\(?[a-z][.)])\s+\S")
_SECTION = re.compile(r"\d{1,3}(?:\.\d{1,3})+\.?\s+\S.*")
_LEADERS = re.compile(r"(?:\s*\.){4,}\s*")
"""The dots of a table of contents."""
_ENDS = (".", "!", "?", ":", ".”", '."', ".)", "。")
_DOTS = "…"
_HYPHENS = "-\u00ad\u2010"
_EDGE_LINES = 2
"""A running head or foot is among so many lines at the top or the bottom."""
_FEWEST_PAGES = 3
_SHORT = 0.75
"""A line that ends so far before the others ends its paragraph, if it could."""


def paragraphs(pages: Sequence[str]) -> str:
    """The text of all pages, paragraphs apart by empty lines."""
    kept = _without_edges([page.strip("\n").split("\n") for page in pages])
    width = _usual_width(kept)
    found: list[str] = []
    for lines in kept:
        blocks = _blocks(lines, width)
        if found and blocks and _goes_on(found[-1], blocks[0]):
            found[-1] = _joined(found[-1], blocks.pop(0))
        found += blocks
    return "\n\n".join(found)


def _blocks(lines: Sequence[str], width: int) -> list[str]:
    """The paragraphs of one page."""
    blocks: list[str] = []
    before = ""
    for line in (_LEADERS.sub(f" {_DOTS} ", line).strip() for line in lines):
        if line and before and blocks and not _begins(line, before, width):
            blocks[-1] = _joined(blocks[-1], line)
        elif line:
            blocks.append(line)
        before = line
    return blocks


def _begins(line: str, before: str, width: int) -> bool:
    """Whether a line begins a paragraph, by how the one before it ended."""
    short = _SHORT * width
    if (
        _BULLET.match(line)
        or _DOTS in before
        or any(_SECTION.fullmatch(each) and len(each) < short for each in (line, before))
    ):
        return True
    if len(before) >= short or line[0].islower():
        return False
    return before.endswith(_ENDS) or not (before[-1].isalnum() and line[0].isdigit()) or len(before) < width / 2


def _goes_on(last: str, first: str) -> bool:
    """Whether a paragraph runs over the page's end."""
    return not last.endswith(_ENDS) and first[0].islower()


def _joined(text: str, line: str) -> str:
    if text and text[-1] in _HYPHENS and len(text) > 1 and text[-2].isalpha() and line[0].islower():
        return text[:-1] + line
    return f"{text} {line}"


def _without_edges(pages: list[list[str]]) -> list[list[str]]:
    """Without page numbers, and without lines that stand at the same edge of most pages."""
    pages = [_without_number(lines) for lines in pages]
    if len(pages) < _FEWEST_PAGES:
        return pages
    seen = Counter(mark for lines in pages for mark in {_mark(line) for line in _edges(lines)})
    most = max(_FEWEST_PAGES, len(pages) / 2)
    running = {mark for mark, count in seen.items() if mark and count >= (_FEWEST_PAGES if _numbered(mark) else most)}
    return [_cut(lines, running) for lines in pages]


def _edges(lines: Sequence[str]) -> list[str]:
    return [*lines[:_EDGE_LINES], *lines[-_EDGE_LINES:]]


def _cut(lines: list[str], running: set[str]) -> list[str]:
    last = len(lines) - _EDGE_LINES
    return [line for at, line in enumerate(lines) if not ((at < _EDGE_LINES or at >= last) and _mark(line) in running)]


def _without_number(lines: list[str]) -> list[str]:
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    if lines and _NUMBER.fullmatch(lines[-1]):
        lines = lines[:-1]
    if lines and _NUMBER.fullmatch(lines[0]):
        lines = lines[1:]
    return lines


def _numbered(mark: str) -> bool:
    """Whether a page's number stands in it: a chapter's head is on that chapter's pages only."""
    return mark.startswith("0 ") or mark.endswith(" 0")


def _mark(line: str) -> str:
    return _DIGITS.sub("0", line).strip()


def _usual_width(pages: Sequence[Sequence[str]]) -> int:
    """The length that nine in ten lines do not pass: that of a full line."""
    lengths = sorted(len(line.strip()) for lines in pages for line in lines if line.strip())
    return lengths[min(len(lengths) - 1, len(lengths) * 9 // 10)] if lengths else 0
