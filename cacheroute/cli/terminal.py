"""What verbs print on terminals: plain tables that fit, states with glyph and word. No markup is read in anything."""

import sys
from collections.abc import Iterable, Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from cacheroute import sanitise
from cacheroute.glyphs import LOOKS
from stack.events import State

_GAP = "  "
_NARROWEST = 8
_UNLIMITED = 10_000


def console(*, stderr: bool = False) -> Console:
    """A console for this process's stdout or stderr; as wide as need be where it is no terminal."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _UNLIMITED
    return Console(file=stream, markup=False, emoji=False, highlight=False, width=width)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    width: int,
    right: Iterable[str] = (),
    whole: Iterable[str] = (),
    ends: Iterable[str] = (),
) -> list[Text]:
    """One line a row, the titles first. Cells are foreign text, or rich Text. Where the lines are wider than `width`,
    the widest columns are cut; never those aligned to the right (figures) and those that are of use only `whole`. Of
    those named in `ends`, paths for example, the end is what stays.
    """
    cells = [[_cell(cell) for cell in row] for row in ([Text(title, "bold") for title in columns], *rows)]
    numeric = {columns.index(column) for column in right}
    kept = numeric | {columns.index(column) for column in whole}
    from_left = {columns.index(column) for column in ends}
    widths = [max(cell.cell_len for cell in column) for column in zip(*cells, strict=True)]
    flexible = [index for index in range(len(columns)) if index not in kept and widths[index] > _NARROWEST]
    while flexible and sum(widths) + len(_GAP) * (len(widths) - 1) > width:
        widest = max(flexible, key=widths.__getitem__)
        widths[widest] -= 1
        flexible = [index for index in flexible if widths[index] > _NARROWEST]
    return [_line(row, widths, numeric, from_left) for row in cells]


def state_cell(state: State) -> Text:
    look = LOOKS[state]
    return Text(f"{look.glyph} {state.value}", style=look.style)


def _cell(cell: object) -> Text:
    return cell if isinstance(cell, Text) else Text(sanitise.for_line(str(cell)))


def _line(row: Sequence[Text], widths: Sequence[int], numeric: set[int], from_left: set[int]) -> Text:
    line = Text(no_wrap=True, overflow="crop")
    for index, (cell, width) in enumerate(zip(row, widths, strict=True)):
        text = _cut(cell.plain, width, from_left=index in from_left)
        padding = " " * (width - cell_len(text))
        last = index == len(row) - 1
        line.append(padding + text if index in numeric else text + ("" if last else padding), cell.style)
        line.append("" if last else _GAP)
    return line


def _cut(text: str, width: int, *, from_left: bool) -> str:
    if cell_len(text) <= width:
        return text
    if from_left:
        return "…" + set_cell_size(text[::-1], width - 1)[::-1]
    return set_cell_size(text, width - 1) + "…"
