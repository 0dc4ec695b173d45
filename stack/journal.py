"""The events of a stack on disk, one JSON object a line, so that whoever comes later knows what happened."""

import asyncio
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from stack.events import Event


class Journal:
    """An append-only file of events; all methods block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(Event)

    def append(self, events: Iterable[Event]) -> None:
        with open(self._path, "ab", opener=_private) as file:
            file.write(self._encoder.encode_lines(events))

    def read(self, after: int = 0) -> Iterator[Event]:
        """The events whose seq is above `after`; ends at a line that a crash left unfinished."""
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            try:
                event = self._decoder.decode(line)
            except msgspec.DecodeError:
                return
            if event.seq > after:
                yield event

    def latest(self) -> dict[str, Event]:
        """The last event of each service."""
        return {event.service: event for event in self.read()}

    def clear(self) -> None:
        self._path.unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class JournalWriter:
    """A listener that never blocks: events are written by a thread, in their order, the last before exit."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()

    def __call__(self, event: Event) -> None:
        self._queue.put_nowait(event)

    async def __aenter__(self) -> "JournalWriter":
        self._task = asyncio.create_task(self._write())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._queue.put_nowait(None)
        await self._task

    async def _write(self) -> None:
        while (event := await self._queue.get()) is not None:
            await asyncio.to_thread(self._journal.append, [event])
