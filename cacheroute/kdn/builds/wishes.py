"""Which sets of blocks KV was wished for, and how often: counted in memory, kept in a file of their own.

A statistic, not a ledger: killing the process loses the last minute of it. What is old counts less, since all counts
are halved after every day of use; of more sets than `MAX_WISHES`, those longest unasked for are forgotten.
"""

import asyncio
import json
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cacheroute.background import in_background
from cacheroute.errors import Unavailable
from cacheroute.kdn.worker import Worker
from cacheroute.prompt import canonical_order
from cacheroute.wire.artifacts import FindArtifact, Rendering
from knowledge.database import Database

log = logging.getLogger(__name__)

MAX_WISHES = 10_000
MAX_KIDS = 32
"""Longer lists are not counted: a prompt has a few blocks."""
HALF_LIFE_S = 86_400.0
FLUSH_S = 60.0

_SCHEMA = (
    """
CREATE TABLE wishes(
    place INTEGER PRIMARY KEY,
    kids TEXT NOT NULL,
    rendering TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    requests REAL NOT NULL
);
CREATE TABLE age(used_s REAL NOT NULL);
""",
)


@dataclass(frozen=True, slots=True)
class Wish:
    """A list of kids in canonical order, as a request's prompt begins with them."""

    kids: tuple[str, ...]
    rendering: Rendering
    fingerprint: str


class Wishes:
    """Opens the file at `path`: blocking, raises CatalogueError. `count` and `counts` only touch memory."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = Database(path, _SCHEMA)
        self._clock = clock
        self._since_s = clock()
        self._requests = OrderedDict[Wish, float]()
        self._changed = False
        with self._database.read() as connection:
            for row in connection.execute("SELECT * FROM wishes ORDER BY place"):
                wish = Wish(tuple(json.loads(row["kids"])), row["rendering"], row["fingerprint"])
                self._requests[wish] = row["requests"]
            age = connection.execute("SELECT used_s FROM age").fetchone()
        self._used_s: float = age["used_s"] if age is not None else 0.0

    def close(self) -> None:
        self._database.close()

    def count(self, asked: FindArtifact) -> None:
        """One more request wishes for KV of all these kids. A list that no build could serve does not count."""
        if not 0 < len(asked.kids) <= MAX_KIDS or asked.kids != canonical_order(asked.kids):
            return
        wish = Wish(asked.kids, asked.rendering, asked.fingerprint)
        self._requests[wish] = self._requests.get(wish, 0.0) + 1
        self._requests.move_to_end(wish)
        if len(self._requests) > MAX_WISHES:
            self._requests.popitem(last=False)
        self._changed = True

    def counts(self) -> Mapping[Wish, float]:
        """Requests by wish, as of now."""
        self._age()
        return dict(self._requests)

    @asynccontextmanager
    async def kept(self, worker: Worker) -> AsyncGenerator[None]:
        """Writes what has changed to the file now and then, and when the context is left."""

        async def flush() -> None:
            counts = self.counts()
            if self._changed:
                self._changed = False
                await worker.run(self._write, counts, self._used_s)

        async def flush_for_ever() -> None:
            while True:
                await asyncio.sleep(FLUSH_S)
                with _logged():
                    await flush()

        try:
            async with in_background(flush_for_ever()):
                yield
        finally:
            with _logged():
                await flush()

    def _age(self) -> None:
        now_s = self._clock()
        self._used_s += now_s - self._since_s
        self._since_s = now_s
        halvings, self._used_s = divmod(self._used_s, HALF_LIFE_S)
        if halvings:
            for wish in self._requests:
                self._requests[wish] *= 0.5**halvings

    def _write(self, counts: Mapping[Wish, float], used_s: float) -> None:
        with self._database.write() as connection:
            connection.execute("DELETE FROM wishes")
            connection.executemany(
                "INSERT INTO wishes VALUES (?, ?, ?, ?, ?)",
                (
                    (place, json.dumps(wish.kids), wish.rendering, wish.fingerprint, requests)
                    for place, (wish, requests) in enumerate(counts.items())
                ),
            )
            connection.execute("DELETE FROM age")
            connection.execute("INSERT INTO age VALUES (?)", (used_s,))


@contextmanager
def _logged() -> Generator[None]:
    try:
        yield
    except Unavailable as error:
        log.warning("the wishes for KV are not kept: %s", error.message)
