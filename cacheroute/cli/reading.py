"""A text that an operator names: a file, or standard input. Blocks: call it before an event loop runs."""

import sys
from pathlib import Path

from cacheroute.errors import BadRequest

MAX_BYTES = 64 * 2**20


def read_text(file: str) -> str:
    """`-` is standard input. Raises BadRequest where it is too much, or not UTF-8; OSError."""
    if file == "-":
        data = sys.stdin.buffer.read(MAX_BYTES + 1)
    else:
        with Path(file).open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    name = "standard input" if file == "-" else file
    if len(data) > MAX_BYTES:
        raise BadRequest(f"{name}: more than {MAX_BYTES // 2**20} MB of text")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"{name}: not UTF-8 (at byte {error.start:,})") from error
