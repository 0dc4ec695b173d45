"""Elements entered and left, with text between them -> Markdown. The state of a page as it is read from top to bottom.

Knows what elements mean, but no parser. What is open is kept on stacks of bounded effect: nesting without end makes
neither the indentation nor the time grow without end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from knowledge.formats.marks import fenced, heading, indented, names, one_line, table

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCKS = names(
    "address article aside blockquote body caption center dd details div dl dt fieldset figcaption figure form header "
    "hgroup html legend li main ol optgroup option p pre section summary ul table tr td th tbody thead tfoot hr"
) | frozenset(_HEADINGS)
_LISTS = frozenset({"ul", "ol", "menu"})
_DEEPEST_INDENT = 6


@dataclass(slots=True)
class _List:
    ordered: bool
    count: int = 0


@dataclass(slots=True)
class _Table:
    rows: list[list[str]] = field(default_factory=list[list[str]])
    depth: int = 1
    """Of tables within this one: their cells are read as text of its cell."""


class Flow:
    """One page. `enter`, `text` and `leave` in document order, then `finish`."""

    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._tight: list[bool] = []
        """Of each block: whether it goes right under the one before it."""
        self._line: list[str] = []
        self._lists: list[_List] = []
        self._table: _Table | None = None
        self._pre = 0
        self._bullet = ""
        self._follows = False
        """Whether the next block belongs to the line before it, as a definition to its term."""

    def enter(self, tag: str, attributes: Mapping[str, str | None]) -> None:
        if tag == "br":
            self._line.append("\n")
        elif tag == "code" and not self._pre:
            self._line.append("`")
        elif tag == "table":
            self._enter_table()
        elif self._table is not None:
            self._enter_in_table(tag)
        elif tag in _BLOCKS:
            self._break()
            self._open(tag, attributes)

    def text(self, text: str) -> None:
        self._line.append(text if self._pre else text.replace("\n", " "))

    def leave(self, tag: str) -> None:
        if tag == "code" and not self._pre:
            self._line.append("`")
        elif tag == "table":
            self._leave_table()
        elif self._table is not None:
            if tag in ("td", "th"):
                self._close_cell()
        elif tag in _HEADINGS:
            self._add(heading(_HEADINGS[tag], self._taken().rstrip("¶ ")))
        elif tag == "pre":
            self._pre -= 1
            if not self._pre:
                self._add(fenced("".join(self._line).expandtabs()))
                self._line.clear()
        elif tag in _BLOCKS:
            self._break()
            if tag in _LISTS and self._lists:
                self._lists.pop()
            self._bullet = "" if tag == "li" else self._bullet
            self._follows = tag == "dt"

    def finish(self) -> str:
        self._break()
        parts: list[str] = []
        for index, (block, tight) in enumerate(zip(self._blocks, self._tight, strict=True)):
            parts += ["" if index == 0 else "\n" if tight else "\n\n", block]
        return "".join(parts)

    def _open(self, tag: str, attributes: Mapping[str, str | None]) -> None:
        if tag == "pre":
            self._pre += 1
        elif tag in _LISTS:
            start = attributes.get("start") or "1"
            first = int(start) if start.isascii() and start.isdecimal() and len(start) < 7 else 1
            self._lists.append(_List(tag == "ol", first - 1))
        elif tag == "li":
            current = self._lists[-1] if self._lists else _List(False)
            current.count += 1
            self._bullet = f"{current.count}. " if current.ordered else "- "

    def _break(self) -> None:
        """Whatever stands before a block element is a block of its own."""
        if self._pre:
            return
        self._add(self._taken())

    def _taken(self) -> str:
        text = "".join(self._line)
        self._line.clear()
        lines = [one_line(line) for line in text.split("\n")]
        return "\n".join(line for line in lines if line).replace("``", "")

    def _add(self, block: str) -> None:
        if not block:
            return
        depth = min(len(self._lists), _DEEPEST_INDENT)
        item = bool(self._bullet)
        if depth:
            indent = "  " * (depth - 1)
            block = indented(block, indent + "  ")
            block = indent + self._bullet + block.lstrip() if item else block
        self._blocks.append(block)
        self._tight.append(self._follows or (item and len(self._blocks) > 1 and self._is_item(self._blocks[-2])))
        self._bullet, self._follows = "", False

    @staticmethod
    def _is_item(block: str) -> bool:
        mark = block.lstrip().partition(" ")[0]
        return mark == "-" or (mark.endswith(".") and mark[:-1].isdecimal())

    def _enter_table(self) -> None:
        if self._table is None:
            self._break()
            self._table = _Table()
        else:
            self._table.depth += 1

    def _enter_in_table(self, tag: str) -> None:
        table = self._table
        if table is None:
            return
        if tag == "tr" and table.depth == 1:
            self._close_caption()
            table.rows.append([])
        elif tag in _BLOCKS:
            self._line.append(" ")

    def _close_caption(self) -> None:
        """What stands in a table outside of its cells goes before it."""
        self._add(one_line(self._taken()))

    def _close_cell(self) -> None:
        if self._table is not None and self._table.depth == 1 and self._table.rows:
            self._table.rows[-1].append(one_line(self._taken()))

    def _leave_table(self) -> None:
        if self._table is None:
            return
        if self._table.depth > 1:
            self._table.depth -= 1
            return
        self._close_caption()
        rows, self._table = self._table.rows, None
        self._add(table(rows))
