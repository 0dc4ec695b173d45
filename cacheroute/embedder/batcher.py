"""One thread that computes, and a bounded queue before it: queries first, passages one at a time.

A batch cannot be interrupted, so passages go one by one: a query waits for at most one of them. Knows no model
and no HTTP; what a batch is computed by is passed in.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np

from cacheroute.background import in_background
from cacheroute.errors import BadRequest, Overloaded
from cacheroute.wire.embedding import Kind
from knowledge.embedding import Vectors

Embed = Callable[[Sequence[str], Kind], Vectors]

BATCH_TEXTS: dict[Kind, int] = {"query": 8, "passage": 1}
"""A passage of 200 words takes some 80 ms on one thread, alone or in a batch: batching it gains nothing."""


@dataclass(eq=False)
class _Job:
    """One request's texts, and the rows computed so far."""

    texts: Sequence[str]
    kind: Kind
    done: asyncio.Future[Vectors]
    taken: int = 0
    rows: list[Vectors] = field(default_factory=list[Vectors])


class Batcher:
    """`embed` from any task; `run` from one. Texts of several requests share a batch."""

    def __init__(self, embed: Embed, executor: Executor, max_waiting: int) -> None:
        self._embed = embed
        self._executor = executor
        self._max_waiting = max_waiting
        self._jobs: dict[Kind, deque[_Job]] = {"query": deque(), "passage": deque()}
        self._filled = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Texts that no batch has taken yet."""
        return sum(len(job.texts) - job.taken for jobs in self._jobs.values() for job in jobs)

    async def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """One row a text. If the caller is cancelled, what is not computed yet never will be.

        Raises Overloaded when the queue is full, BadRequest for more texts than it can ever hold.
        """
        if len(texts) > self._max_waiting:
            raise BadRequest(f"{len(texts)} texts in one request; at most {self._max_waiting} are taken", param="input")
        waiting = self.waiting
        if waiting + len(texts) > self._max_waiting:
            raise Overloaded(f"the embedder has {waiting} texts waiting")
        job = _Job(texts, kind, asyncio.get_running_loop().create_future())
        self._jobs[kind].append(job)
        self._filled.set()
        try:
            return await job.done
        finally:
            if job in self._jobs[kind]:
                self._jobs[kind].remove(job)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        async with in_background(self._run()):
            yield

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._filled.wait()
            kind: Kind = "query" if self._jobs["query"] else "passage"
            taken = self._take(kind)
            if not taken:
                self._filled.clear()
                continue
            texts = [text for _, texts in taken for text in texts]
            try:
                vectors = await loop.run_in_executor(self._executor, self._embed, texts, kind)
            except (RuntimeError, ValueError, IndexError) as error:  # the model refused these texts; the next may do
                for job, _ in taken:
                    if not job.done.done():
                        job.done.set_exception(BadRequest(f"the model cannot embed this: {error}", param="input"))
                continue
            start = 0
            for job, part in taken:
                job.rows.append(vectors[start : start + len(part)])
                start += len(part)
                if job.taken == len(job.texts) and not job.done.done():
                    job.done.set_result(np.concatenate(job.rows))

    def _take(self, kind: Kind) -> list[tuple[_Job, Sequence[str]]]:
        """The next batch, oldest request first, and leaves the rest."""
        room = BATCH_TEXTS[kind]
        taken: list[tuple[_Job, Sequence[str]]] = []
        jobs = self._jobs[kind]
        while jobs and room:
            job = jobs[0]
            part = job.texts[job.taken : job.taken + room]
            job.taken += len(part)
            room -= len(part)
            taken.append((job, part))
            if job.taken == len(job.texts):
                jobs.popleft()
        return taken
