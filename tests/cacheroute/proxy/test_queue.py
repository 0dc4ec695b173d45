import asyncio
import random

import pytest

from cacheroute.errors import DeadlineExceeded, Overloaded
from cacheroute.proxy.queue import Line


async def _hold(line: Line, release: asyncio.Event, order: list[int], number: int, deadline_ms: float = 5000) -> None:
    async with line.place(deadline_ms):
        order.append(number)
        await release.wait()


async def _settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_first_come_first_served_and_never_more_at_once_than_allowed():
    line, release, order = Line("l", 2, 10), asyncio.Event(), []
    tasks = [asyncio.create_task(_hold(line, release, order, number)) for number in range(6)]
    await _settle()
    assert (line.active, line.waiting, order) == (2, 4, [0, 1])
    release.set()
    await asyncio.gather(*tasks)
    assert order == list(range(6))
    assert (line.active, line.waiting) == (0, 0)


async def test_a_full_line_refuses_with_the_time_to_come_back():
    line, release = Line("l", 1, 1), asyncio.Event()
    tasks = [asyncio.create_task(_hold(line, release, [], number)) for number in range(2)]
    await _settle()
    with pytest.raises(Overloaded) as caught:
        async with line.place(1000):
            pass
    assert caught.value.retry_after_s > 0
    release.set()
    await asyncio.gather(*tasks)


async def test_whoever_waits_past_the_deadline_leaves_the_line():
    line, release = Line("l", 1, 5), asyncio.Event()
    holder = asyncio.create_task(_hold(line, release, [], 0))
    await _settle()
    with pytest.raises(DeadlineExceeded):
        async with line.place(20):
            pass
    assert line.waiting == 0
    release.set()
    await holder


@pytest.mark.parametrize("seed", range(20))
async def test_no_place_is_lost_whoever_is_cancelled_and_when(seed):
    rng = random.Random(seed)
    line, order = Line("l", 3, 100), []
    gates = [asyncio.Event() for _ in range(30)]
    tasks = [asyncio.create_task(_hold(line, gate, order, number)) for number, gate in enumerate(gates)]
    for _ in range(60):
        await asyncio.sleep(0)
        victim = rng.randrange(30)
        if rng.random() < 0.5:
            tasks[victim].cancel()
        else:
            gates[victim].set()
        assert line.active <= 3
    for gate in gates:
        gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (line.active, line.waiting) == (0, 0)
