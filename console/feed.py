"""The console's only I/O: asks the stack and the scheduler once a second, and hands over what they said.

The two are asked side by side, so that one that hangs does not hide the other. Never raises for what they do or
fail to do: that is a view with a why.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from cacheroute.client import Client
from cacheroute.config import Config
from cacheroute.errors import CacheRouteError
from cacheroute.tokens import ensure
from console.views import StackView, TrafficView
from stack.conductor import Conductor
from stack.errors import StackError

PERIOD_S = 1.0
KEPT_REQUESTS = 50


async def follow(config: Config, show: Callable[[StackView | TrafficView], None]) -> None:
    """Calls `show` with each new view, for ever. Cancel it to end it."""
    state_dir = config.paths.state_dir
    tokens = await asyncio.to_thread(ensure, state_dir)
    async with Client(config, tokens.control) as client, asyncio.TaskGroup() as group:
        group.create_task(_every_second(lambda: _stack(state_dir), show))
        group.create_task(_every_second(lambda: _traffic(client), show))


async def _every_second(
    look: Callable[[], Awaitable[StackView | TrafficView]], show: Callable[[StackView | TrafficView], None]
) -> None:
    while True:
        begun_s = time.monotonic()
        show(await look())
        await asyncio.sleep(max(0.1, PERIOD_S - (time.monotonic() - begun_s)))


async def _stack(state_dir: Path) -> StackView:
    try:
        status = await Conductor(state_dir).status()
    except (StackError, OSError) as error:
        return StackView(time.monotonic(), None, str(error))
    return StackView(time.monotonic(), status)


async def _traffic(client: Client) -> TrafficView:
    try:
        peers, requests = await asyncio.gather(client.peers(), client.requests(KEPT_REQUESTS))
    except CacheRouteError as error:
        return TrafficView(time.monotonic(), None, why=error.message)
    return TrafficView(time.monotonic(), peers, requests)
