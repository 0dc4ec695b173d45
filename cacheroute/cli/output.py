"""What a verb says: for people on a terminal, or as one JSON document. The only door to stdout and stderr.

All text goes through the sanitiser and none is read as markup: documents, names and errors are foreign.
"""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from cacheroute import sanitise


class Output:
    """Where one call of a verb writes. With `as_json`, people's text is dropped and `result` is all of stdout."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def result(self, value: Any) -> None:
        """The verb's result (structs too) as JSON; shown only with `--json`."""
        if self.as_json:
            import msgspec

            sys.stdout.write(msgspec.json.format(msgspec.json.encode(value)).decode() + "\n")
            sys.stdout.flush()

    def say(self, text: str = "", *, end: str = "\n") -> None:
        """Text for people."""
        if not self.as_json:
            sys.stdout.write(sanitise.for_terminal(text) + end)
            sys.stdout.flush()

    def note(self, text: str) -> None:
        """Progress and remarks: on stderr, so that a pipe gets results only."""
        if not self.as_json:
            sys.stderr.write(sanitise.for_terminal(text) + "\n")
            sys.stderr.flush()

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[object]],
        *,
        right: Iterable[str] = (),
        whole: Iterable[str] = (),
        ends: Iterable[str] = (),
    ) -> None:
        """A plain table, as wide as the terminal at most; the columns named in `right` are aligned to the right, those
        in `whole` are never cut, and of those in `ends` the end is what stays."""
        if self.as_json:
            return
        from cacheroute.cli.terminal import console, table

        screen = console()
        for line in table(columns, rows, screen.width, right, whole, ends):
            screen.print(line)

    def error(self, lines: Sequence[str], *, kind: str, code: str) -> None:
        """What went wrong: one line each on stderr, or one error object on stdout."""
        if self.as_json:
            self.result({"error": {"message": "\n".join(lines), "type": kind, "code": code}})
            return
        for line in lines:
            sys.stderr.write(f"cacheroute: {sanitise.for_terminal(line)}\n")
