"""Shows a registration as it goes: bars on a terminal, elsewhere a line every few seconds; each document once it is in.

All of it goes to stderr but the documents, so that a pipe gets results only.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cacheroute import sanitise
from cacheroute.cli.output import Output
from cacheroute.cli.tally import Tally
from cacheroute.cli.terminal import console
from cacheroute.cli.words import counted
from cacheroute.wire.documents import AddedDocument

LINE_EVERY_S = 3.0
FEW_FILES = 20
"""With more, those that stay as they are get no line of their own."""
_NAMED_LIKE = 3
"""Near duplicates of one document that are named."""
_BAR_CELLS = 30


class Display:
    """Says what becomes of each document; `Intake` calls it."""

    def __init__(self, out: Output, tally: Tally) -> None:
        self._out = out
        self._tally = tally

    def added(self, document: AddedDocument) -> None:
        if document.status == "unchanged" and self._tally.files > FEW_FILES:
            return
        what = counted(len(document.kids), "block")
        if document.status == "replaced":
            what += f", +{len(document.added)} -{len(document.removed)} blocks"
        self._out.say(sanitise.for_line(f"{document.status:<9} {document.title} ({what})"))
        for note in (*document.notes, *_likenesses(document)):
            self._out.note(f"  {sanitise.for_line(note)}")

    def failed(self, lines: Sequence[str]) -> None:
        if not self._out.as_json:
            self._out.error([sanitise.for_line(line) for line in lines], kind="", code="")

    @asynccontextmanager
    async def shown(self) -> AsyncGenerator[None]:
        """The progress, while this is open."""
        screen = console(stderr=True)
        if self._out.as_json:
            yield
        elif screen.is_terminal:
            # what is said on the same terminal goes above the bars; a pipe stays a pipe
            with Live(Bars(self._tally), console=screen, refresh_per_second=4, transient=True,
                      redirect_stdout=sys.stdout.isatty()):  # fmt: skip
                yield
        else:
            lines = asyncio.create_task(self._now_and_then())
            try:
                yield
            finally:
                lines.cancel()

    async def _now_and_then(self) -> None:
        while True:
            await asyncio.sleep(LINE_EVERY_S)
            self._out.note(progress_line(self._tally))


class Bars:
    """The stages of a run, drawn anew whenever rich asks."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        tally = self._tally
        grid = Table.grid(padding=(0, 1))
        expected = max(tally.found, tally.files)
        done = len(tally.added) + tally.refused
        grid.add_row("read", _bar(tally.read, tally.files), f"{tally.read:,} of {counted(tally.files, 'file')}")
        grid.add_row("registered", _bar(done, expected), f"{done:,} of {tally.found:,}, {tally.in_flight} on the way")
        yield grid
        facts = [*_statuses(tally), f"{tally.per_s:.1f} documents/s", _left(tally)]
        yield Text(" · ".join(fact for fact in facts if fact), style="dim", no_wrap=True, overflow="ellipsis")
        if tally.waiting:
            waiting = f"waiting: {sanitise.for_line(tally.waiting)}"
            yield Text(waiting, style="yellow", no_wrap=True, overflow="ellipsis")


def progress_line(tally: Tally) -> str:
    """The same in one line."""
    done = f"read {tally.read:,} of {counted(tally.files, 'file')}, registered {len(tally.added):,}"
    facts = [done, *_statuses(tally), f"{tally.per_s:.1f} documents/s", _left(tally)]
    waiting = f"; waiting: {sanitise.for_line(tally.waiting)}" if tally.waiting else ""
    return ", ".join(fact for fact in facts if fact) + waiting


def summary(tally: Tally) -> list[str]:
    """The sums of a run, a line for each: what is in, and where the time went."""
    said = ", ".join(_statuses(tally)) or "nothing"
    lines = [
        f"{counted(len(tally.added), 'document')} in {tally.took_s:.1f} s ({tally.per_s:.1f}/s): {said}; "
        f"{counted(tally.blocks, 'block')}."
    ]
    if tally.parts_ms:
        parts = ", ".join(f"{part} {ms / 1000:.1f} s" for part, ms in tally.parts_ms.items())
        lines.append(f"Time by stage, summed over documents: {parts}.")
    return lines


def _bar(done: int, total: int) -> ProgressBar:
    return ProgressBar(total=max(total, 1), completed=done, width=_BAR_CELLS)


def _statuses(tally: Tally) -> list[str]:
    said = [f"{count:,} {status}" for status, count in tally.statuses.items() if count]
    return [*said, counted(len(tally.failures), "failure")] if tally.failures else said


def _left(tally: Tally) -> str:
    if tally.left_s is None:
        return ""
    minutes, seconds = divmod(round(tally.left_s), 60)
    return f"about {minutes}:{seconds:02d} left"


def _likenesses(document: AddedDocument) -> list[str]:
    """What says almost the same, the most alike first."""
    alike = sorted(document.near_duplicates, key=lambda each: -each.similarity)
    lines = [
        f"block {each.kid[:12]} is {each.similarity:.0%} like {each.other_kid[:12]} of {each.other_source}"
        + (f" (collection {each.other_collection})" if each.other_collection != "default" else "")
        for each in alike[:_NAMED_LIKE]
    ]
    return [*lines, f"and {len(alike) - _NAMED_LIKE} more near duplicates"] if len(alike) > _NAMED_LIKE else lines
