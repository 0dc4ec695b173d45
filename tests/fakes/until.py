"""Waiting for what another task, thread or process does, in place of a sleep."""

import asyncio
from collections.abc import Callable
from typing import Any


async def until(condition: Callable[[], Any], *, within_s: float = 20.0) -> None:
    """Waits for a condition (plain or async) to hold. Fails the test if it does not in time."""
    async with asyncio.timeout(within_s):
        while True:
            held = condition()
            if asyncio.iscoroutine(held):
                held = await held
            if held:
                return
            await asyncio.sleep(0.01)
