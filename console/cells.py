"""Text in cells: one line of columns, each cut or filled to its width on the screen (a CJK character takes two)."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from cacheroute.sanitise import for_line

Cell = str | tuple[str, str]
"""Text, or text and its style."""


class Column(NamedTuple):
    """`width` 0 takes what is left of the line; only the last column may."""

    title: str
    width: int
    right: bool = False


def header(columns: Sequence[Column], width: int) -> Content:
    return row(columns, [column.title for column in columns], width).stylize("bold dim")


def row(columns: Sequence[Column], cells: Sequence[Cell], width: int) -> Content:
    """One line of exactly `width` cells; foreign text comes out clean."""
    parts: list[tuple[str, str]] = []
    left = width
    for column, cell in zip(columns, cells, strict=True):
        text, style = (cell, "") if isinstance(cell, str) else cell
        wide = min(left, column.width or left)
        parts.append((fit(text, wide, right=column.right), style))
        left -= wide
        if column.width and left > 0:
            parts.append((" ", ""))
            left -= 1
    return Content.assemble(*parts)


def fit(text: str, width: int, *, right: bool = False) -> str:
    """`text` in exactly `width` cells, cut with an ellipsis where it is longer."""
    line = for_line(text, 4 * width + 1)
    excess = cell_len(line) - width
    if excess > 0:
        return set_cell_size(line, width - 1) + "…" if width > 0 else ""
    return " " * -excess + line if right else line + " " * -excess
