"""Reads a Procfile: one `name: command` a line. Knows nothing of order, readiness or processes.

The format is Foreman's. Where other runners skip a line that they cannot read, every such line is named here.
"""

import re
import shlex

from msgspec import Struct

from stack.errors import ProcfileError

_LINE = re.compile(r"(?P<name>[^:]*?)\s*:(?P<command>.*)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_FOR_A_SHELL = re.compile(r"[$&|;<>()`*?\[\]{}~#!]|^\w+=")


class Entry(Struct, frozen=True):
    """One line of a Procfile; several services may be made from it."""

    name: str
    command: str
    line: int

    @property
    def argv(self) -> tuple[str, ...]:
        """The command as words; through a shell only where it uses a shell's signs, so that signals
        otherwise reach the command itself."""
        if _FOR_A_SHELL.search(self.command):
            return ("/bin/sh", "-c", self.command)
        return tuple(shlex.split(self.command))


def parse(text: str) -> tuple[Entry, ...]:
    """The entries in the order of their lines; blank lines and `#` comments are skipped.

    Raises ProcfileError with every bad line, by number.
    """
    entries: dict[str, Entry] = {}
    problems: list[str] = []
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if problem := _problem(line, entries):
            problems.append(f"line {number}: {problem}")
        elif match := _LINE.fullmatch(line):
            entry = Entry(match["name"], match["command"].strip(), number)
            entries[entry.name] = entry
    if problems:
        raise ProcfileError(*problems)
    return tuple(entries.values())


def _problem(line: str, known: dict[str, Entry]) -> str | None:
    if _CONTROL.search(line):
        return "holds a control character"
    match = _LINE.fullmatch(line)
    if match is None:
        return f"{line!r} is not `name: command`"
    name, command = match["name"], match["command"].strip()
    if not _NAME.fullmatch(name):
        return f"{name!r} is not a name (letters, digits, - and _)"
    if not command:
        return f"{name} has no command"
    if name in known:
        return f"{name} is already on line {known[name].line}"
    try:
        shlex.split(command)
    except ValueError as error:
        return f"{name}: {str(error).lower()} in {command!r}"
    return None
