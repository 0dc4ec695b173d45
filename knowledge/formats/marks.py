"""Pieces of Markdown that several formats are rendered with: headings, code, items, tables. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SPACE = re.compile(r"\s+")
_TICKS = re.compile(r"`{3,}")


def names(words: str) -> frozenset[str]:
    """A table of names, as one can read it."""
    return frozenset(words.split())


def one_line(text: str) -> str:
    return _SPACE.sub(" ", text).strip()


def heading(level: int, text: str) -> str:
    """`level` counts from 1; Markdown has six. Empty for an empty text."""
    line = one_line(text)
    return f"{'#' * min(max(level, 1), 6)} {line}" if line else ""


def fenced(code: str, language: str = "") -> str:
    """A code block whose fence nothing in it can close. Empty for no code."""
    body = code.strip("\n").rstrip()
    if not body.strip():
        return ""
    ticks = max((len(run) for run in _TICKS.findall(body)), default=2) + 1
    return f"{'`' * ticks}{language}\n{body}\n{'`' * ticks}"


def indented(text: str, prefix: str) -> str:
    """Every line but the empty ones."""
    return "\n".join(prefix + line if line else line for line in text.split("\n"))


def item(mark: str, blocks: Sequence[str]) -> str:
    """A list's item: its first block beside the mark, the others under it."""
    body = "\n\n".join(block for block in blocks if block)
    return f"{mark} {indented(body, ' ' * (len(mark) + 1)).lstrip()}" if body else ""


def table(rows: Sequence[Sequence[str]]) -> str:
    """Cells in lines, the first row its heads. A table of one column is no more than its lines."""
    rows = [[one_line(cell) for cell in row] for row in rows]
    rows = [row for row in rows if any(row)]
    width = max((len(row) for row in rows), default=0)
    if width < 2:
        return "\n".join(row[0] for row in rows)
    lines = ["| " + " | ".join(_cells(row, width)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * width, *lines[1:]])


def _cells(row: Sequence[str], width: int) -> list[str]:
    return [cell.replace("|", "\\|") for cell in row] + [""] * (width - len(row))
