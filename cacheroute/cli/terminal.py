"""Rich, as we use it: no markup, no emoji, no guessing of highlights; glyph and word for every state."""

import shutil
import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cacheroute import sanitise
from cacheroute.glyphs import LOOKS
from stack.events import State

_PIPED_COLUMNS = 200


def console(*, stderr: bool = False) -> Console:
    """A console for this process's stdout or stderr; wide where nobody's window sets the width."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else max(_PIPED_COLUMNS, shutil.get_terminal_size().columns)
    return Console(file=stream, markup=False, emoji=False, highlight=False, width=width)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[str] = ()) -> Table:
    """Cells are plain text or rich Text; a cell is one line, and cut where it does not fit."""
    built = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    numeric = set(right)
    for column in columns:
        last = column == columns[-1]
        built.add_column(column, justify="right" if column in numeric else "left", no_wrap=True,
                         overflow="ellipsis", ratio=1 if last and column not in numeric else None)  # fmt: skip
    for row in rows:
        built.add_row(*(cell if isinstance(cell, Text) else Text(sanitise.for_line(str(cell))) for cell in row))
    return built


def state_cell(state: State) -> Text:
    look = LOOKS[state]
    return Text(f"{look.glyph} {state.value}", style=look.style)
