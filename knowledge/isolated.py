"""A child process that parses files for `knowledge.isolation`, one after the other, until nobody asks any more.

    python -P -m knowledge.isolated MEMORY_BYTES SECONDS

Reads from standard input a line of JSON (`Asked`) and that many bytes, writes to standard output eight bytes of length
and an `Answer`. It can write no file, has a bound on its memory, and ends itself when one file takes too long, should
nobody be there to end it. A defect of a parser ends it too: whoever asked starts another.
"""

from __future__ import annotations

import resource
import signal
import struct
import sys
from typing import BinaryIO

import msgspec

from knowledge.errors import DocumentError, TooCostly
from knowledge.formats.extract import Extract
from knowledge.formats.known import BY_NAME, Format, extract
from knowledge.text import normalise

LENGTH = struct.Struct("!Q")
GRACE_S = 5
"""Later than whoever asked has given up."""


class Asked(msgspec.Struct, frozen=True):
    format: str
    nbytes: int


class Item(msgspec.Struct, frozen=True):
    """One document, or the name of a DocumentError and what it says."""

    extract: Extract | None = None
    error: str = ""
    message: str = ""


class Answer(msgspec.Struct, frozen=True):
    items: tuple[Item, ...]


def serve(asked: BinaryIO, answers: BinaryIO, memory_bytes: int, seconds: float) -> None:
    while line := asked.readline():
        question = msgspec.json.decode(line, type=Asked)
        data = asked.read(question.nbytes)
        signal.setitimer(signal.ITIMER_REAL, seconds + GRACE_S)
        answer = msgspec.json.encode(Answer(_items(BY_NAME[question.format], data, memory_bytes)))
        signal.setitimer(signal.ITIMER_REAL, 0)
        answers.write(LENGTH.pack(len(answer)) + answer)
        answers.flush()


def _items(format: Format, data: bytes, memory_bytes: int) -> tuple[Item, ...]:
    try:
        return tuple(map(_item, extract(format, data)))
    except DocumentError as error:
        return (_item(error),)
    except MemoryError:
        return (_item(TooCostly(f"takes more than {memory_bytes // 2**20:,} MiB of memory to read")),)


def _item(found: Extract | DocumentError) -> Item:
    if isinstance(found, DocumentError):
        return Item(error=type(found).__name__, message=str(found))
    title = normalise(found.title) if found.title else None
    return Item(extract=Extract(normalise(found.text), title, found.source, found.version, found.collection))


def _confine(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    _confine(int(sys.argv[1]))
    serve(sys.stdin.buffer, sys.stdout.buffer, int(sys.argv[1]), float(sys.argv[2]))
