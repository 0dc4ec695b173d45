"""What is done to the stack of the knowledge soak while it works: each method is one trouble, and its end."""

import asyncio
import random

from soak.journal import Journal
from soak.knowledge_stack import Stack


class Troubles:
    def __init__(self, stack: Stack, journal: Journal) -> None:
        self._stack = stack
        self._journal = journal

    async def go_on(self, rng: random.Random, over: asyncio.Event) -> None:
        """One after the other until it is over; each ends before this does."""
        weighted = {self.kill_kdn: 3, self.restart_store: 2, self.flush_store: 3, self.freeze_store: 2}
        while not over.is_set():
            await asyncio.sleep(rng.uniform(0.5, 3.0))
            trouble = rng.choices([*weighted], [*weighted.values()])[0]
            with self._journal.operation("trouble", trouble.__name__):
                await trouble(rng)

    async def kill_kdn(self, rng: random.Random) -> None:
        await self._stack.kill()
        await asyncio.sleep(rng.random())
        await self._stack.start_killed()

    async def restart_store(self, rng: random.Random) -> None:
        """It comes back empty."""
        await asyncio.to_thread(self._stack.valkey.kill)
        await asyncio.sleep(rng.random())
        await asyncio.to_thread(self._stack.valkey.start)
        await self._stack.store_is_back()

    async def flush_store(self, rng: random.Random) -> None:
        await self._stack.store.run(lambda link: link.call("FLUSHALL"))

    async def freeze_store(self, rng: random.Random) -> None:
        self._stack.valkey.freeze()
        try:
            await asyncio.sleep(rng.uniform(0.2, 2.0))
        finally:
            self._stack.valkey.thaw()
