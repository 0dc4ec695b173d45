"""Between foreign text (documents, names, errors, logs) and whatever would interpret it: terminals, headers."""

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_HEADER_UNSAFE = re.compile(r"[^\x20-\x7e]")


def for_terminal(text: str) -> str:
    """`text` without escape sequences and direction marks; newlines and tabs stay."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def for_line(text: str, limit: int = 500) -> str:
    """One safe line, cut at `limit` characters."""
    line = for_terminal(text.replace("\n", " ").replace("\t", " "))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def for_header(text: str, limit: int = 500) -> str:
    """A value that can stand in an HTTP header: printable ASCII, one line."""
    return _HEADER_UNSAFE.sub("?", text)[:limit]
