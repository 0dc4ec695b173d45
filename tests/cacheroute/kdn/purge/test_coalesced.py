import asyncio

import pytest
from fakes.until import until

from cacheroute.kdn.purge.coalesced import Coalesced


class Work:
    """Counts its runs; each waits for the gate."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun = 0

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        await self.gate.wait()
        return number


async def test_all_who_ask_while_it_runs_share_the_run_after_it():
    work = Work()
    coalesced = Coalesced(work)
    first = asyncio.create_task(coalesced.run())
    await until(lambda: work.begun == 1)
    later = [asyncio.create_task(coalesced.run()) for _ in range(20)]
    await asyncio.sleep(0)
    assert coalesced.busy
    work.gate.set()
    assert await asyncio.gather(first, *later) == [1, *[2] * 20]
    assert not coalesced.busy


async def test_whoever_leaves_ends_nothing():
    work = Work()
    coalesced = Coalesced(work)
    leaving = asyncio.create_task(coalesced.run())
    await until(lambda: work.begun == 1)
    leaving.cancel()
    staying = asyncio.create_task(coalesced.run())
    await asyncio.sleep(0)
    work.gate.set()
    assert await staying == 2


async def test_a_failure_is_told_to_those_of_its_run_alone():
    failures = iter([ValueError("once")])

    async def work() -> str:
        for failure in failures:
            raise failure
        return "done"

    coalesced = Coalesced(work)
    with pytest.raises(ValueError, match="once"):
        await coalesced.run()
    assert await coalesced.run() == "done"


async def test_stopped_it_leaves_nothing_running():
    work = Work()
    coalesced = Coalesced(work)
    waiting = [asyncio.create_task(coalesced.run()) for _ in range(2)]
    await until(lambda: work.begun == 1)
    waiting.append(asyncio.create_task(coalesced.run()))
    await asyncio.sleep(0)
    await coalesced.stop()
    assert not coalesced.busy
    assert all(
        isinstance(each, asyncio.CancelledError) for each in await asyncio.gather(*waiting, return_exceptions=True)
    )
