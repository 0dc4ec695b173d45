"""Reads the ends of log files. Blocks: call it in a thread."""

from pathlib import Path

_LONGEST_TAIL_BYTES = 64 * 1024


def size(path: Path) -> int:
    """In bytes; 0 where there is no file."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def tail(path: Path, lines: int, since_byte: int = 0) -> list[str]:
    """The last `lines` lines written after `since_byte` (all of them, if the file was rotated meanwhile)."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            begin = since_byte if since_byte <= end else 0
            file.seek(max(begin, end - _LONGEST_TAIL_BYTES))
            text = file.read()
    except FileNotFoundError:
        return []
    return text.decode(errors="replace").splitlines()[-lines:]
