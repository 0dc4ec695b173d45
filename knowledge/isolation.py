"""Parsing that can harm nobody: foreign parsers run in child processes with a limit on their time and their memory.

A file that fills the memory, hangs or kills its parser is a DocumentError, and the next one finds a fresh child. A
child lives on from file to file, since starting one takes longer than most files do. Text, Markdown and JSONL are
read by a few lines of our own: they need no child. Nothing here blocks an event loop.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from knowledge import errors
from knowledge.errors import BrokenContent, DocumentError, TooCostly, TooLarge
from knowledge.formats.extract import Extract, Found
from knowledge.formats.known import Format, extract, recognise
from knowledge.isolated import LENGTH, Answer, Asked, Item
from knowledge.parse import NOTHING_GIVEN, Given, Parsing, about, composed

CHILDREN = min(2, os.cpu_count() or 1)
MAX_ANSWER_BYTES = 128 * 2**20
_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "HOME")
"""What a child is told of ours: enough to start, and no secret."""
_ERRORS = {
    kind.__name__: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DocumentError)
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may take to parse."""

    seconds: float = 30.0
    memory_bytes: int = 2**30


DEFAULT_LIMITS = Limits()


class Isolation:
    """At most `children` at a time, each started when it is first needed. Use in `async with`."""

    def __init__(self, children: int = CHILDREN, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._free = asyncio.Semaphore(children)
        self._idle: list[Process] = []

    async def __aenter__(self) -> Isolation:
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._idle:
            await _end(self._idle.pop())

    async def parse(self, name: str, data: bytes, given: Given = NOTHING_GIVEN) -> Parsing:
        """As `knowledge.parse.parse`. Raises TooCostly where a limit is passed, too."""
        try:
            format = recognise(name, data)
            found = await (self._extract(format, data) if format.isolated else asyncio.to_thread(extract, format, data))
        except DocumentError as error:
            raise about(name, error) from error
        return await asyncio.to_thread(composed, name, found, given)

    async def _extract(self, format: Format, data: bytes) -> Found:
        async with self._free:
            child = self._idle.pop() if self._idle else await self._start()
            try:
                async with asyncio.timeout(self._limits.seconds):
                    answer = await _exchange(child, Asked(format.name, len(data)), data)
            except TimeoutError as error:
                await _end(child)
                raise TooCostly(f"takes more than {self._limits.seconds:g} s to read") from error
            except (EOFError, ConnectionError) as error:
                await _end(child)
                raise BrokenContent(f"makes its parser fail ({_death(child)}): damaged, or made to do so") from error
            except BaseException:  # cancelled, or more than can be taken: what it still says belongs to nobody
                await _end(child)
                raise
            if any(item.error == TooCostly.__name__ for item in answer.items):
                await _end(child)  # what is left of its memory is in pieces
            else:
                self._idle.append(child)
            return tuple(map(_found, answer.items))

    async def _start(self) -> Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-B", "-m", "knowledge.isolated"),
            *(str(self._limits.memory_bytes), str(self._limits.seconds)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            start_new_session=True,  # a Ctrl-C is for us
        )


async def _exchange(child: Process, asked: Asked, data: bytes) -> Answer:
    """Raises EOFError, ConnectionError where the child dies, TooLarge for more than can be taken."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(msgspec.json.encode(asked) + b"\n")
    child.stdin.write(data)
    await child.stdin.drain()
    (length,) = LENGTH.unpack(await child.stdout.readexactly(LENGTH.size))
    if length > MAX_ANSWER_BYTES:
        raise TooLarge(f"holds {length:,} bytes of text, more than can be taken")
    answer = await child.stdout.readexactly(length)
    try:
        return await asyncio.to_thread(msgspec.json.decode, answer, type=Answer)
    except msgspec.DecodeError as error:
        raise EOFError from error


async def _end(child: Process) -> None:
    with suppress(ProcessLookupError):
        child.kill()
    await asyncio.shield(child.wait())


def _death(child: Process) -> str:
    code = child.returncode
    return signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"


def _found(item: Item) -> Extract | DocumentError:
    return item.extract if item.extract is not None else _ERRORS.get(item.error, DocumentError)(item.message)
