"""Chat requests at a steady pace while something else goes on: does it hold them up, does any of them fail?

Chit-chat that no document answers, so that each prompt stays as short as it was, however much knowledge there is.
Knows nothing of what goes on beside it.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count
from statistics import median

from msgspec import Struct

from cacheroute.answer import Answer, Question, ask
from cacheroute.bench.questions import prompts
from cacheroute.errors import CacheRouteError
from cacheroute.role_client import Role

EVERY_S = 1.0
MAX_TOKENS = 8
TIMEOUT_S = 60.0
PROMPTS = 10
"""So many different ones, in turn."""


class LiveTtft(Struct, frozen=True, kw_only=True):
    """Milliseconds from sending to the first text, at the client; None where no request came back with any."""

    requests: int
    failures: tuple[str, ...]
    with_knowledge: int
    """Of them, those that got any: their prompts were longer."""
    median_ms: float | None
    p90_ms: float | None
    worst_ms: float | None


class LiveRequests:
    """Requests to `endpoint`, one each `every_s`, whether or not the one before is back."""

    def __init__(self, endpoint: Role, model: str, every_s: float = EVERY_S) -> None:
        self._endpoint = endpoint
        self._model = model
        self._every_s = every_s
        self._texts = prompts("fresh")[:PROMPTS]
        self._answers: list[Answer] = []
        self._failures: list[str] = []

    async def warm_up(self) -> None:
        """Each prompt once, uncounted: the engine has them all in its prefix cache then. Raises CacheRouteError."""
        for text in self._texts:
            await ask(self._endpoint, self._question(text))

    async def alone(self, requests: int) -> LiveTtft:
        """With nothing else going on."""
        async with self.beside():
            await asyncio.sleep(requests * self._every_s)
        return self.said()

    @asynccontextmanager
    async def beside(self) -> AsyncGenerator[None]:
        """Asks as long as this is open; those under way at its end are waited for."""
        self._answers, self._failures = [], []
        asked: list[asyncio.Task[None]] = []
        pace = asyncio.create_task(self._pace(asked))
        try:
            yield
        finally:
            pace.cancel()
            await asyncio.gather(*asked)

    def said(self) -> LiveTtft:
        """Of the last time."""
        ttft_ms = sorted(answer.ttft_ms for answer in self._answers if answer.ttft_ms is not None)
        return LiveTtft(
            requests=len(self._answers) + len(self._failures),
            failures=tuple(self._failures),
            with_knowledge=sum(bool(answer.way.knowledge) for answer in self._answers),
            median_ms=round(median(ttft_ms), 1) if ttft_ms else None,
            p90_ms=round(ttft_ms[int(0.9 * (len(ttft_ms) - 1))], 1) if ttft_ms else None,
            worst_ms=round(ttft_ms[-1], 1) if ttft_ms else None,
        )

    async def _pace(self, asked: list[asyncio.Task[None]]) -> None:
        began_s = asyncio.get_running_loop().time()
        for number in count():
            asked.append(asyncio.create_task(self._one(self._texts[number % len(self._texts)])))
            due_s = began_s + (number + 1) * self._every_s
            await asyncio.sleep(max(0.0, due_s - asyncio.get_running_loop().time()))

    async def _one(self, text: str) -> None:
        try:
            self._answers.append(await ask(self._endpoint, self._question(text)))
        except CacheRouteError as error:
            self._failures.append(str(error))

    def _question(self, text: str) -> Question:
        return Question(text=text, model=self._model, max_tokens=MAX_TOKENS, timeout_s=TIMEOUT_S)
