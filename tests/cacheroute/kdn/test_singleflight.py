import asyncio

import pytest

from cacheroute.kdn.singleflight import SingleFlight


class Work:
    """A piece of work that lasts until it is let go, and knows how often it began and was cancelled."""

    def __init__(self, error=None):
        self.error = error
        self.begun = self.cancelled = 0
        self.gate = asyncio.Event()

    async def __call__(self):
        self.begun += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error:
            raise self.error
        return "done"


async def started(flights, work, askers, key="key"):
    tasks = [asyncio.create_task(flights.do(key, work)) for _ in range(askers)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


@pytest.fixture
def flights():
    return SingleFlight()


async def test_many_askers_are_one_piece_of_work_and_one_of_them_began_it(flights):
    work = Work()
    askers = await started(flights, work, 3)
    assert "key" in flights
    work.gate.set()
    assert sorted(await asyncio.gather(*askers)) == [("done", False), ("done", True), ("done", True)]
    assert work.begun == 1
    assert len(flights) == 0


async def test_different_keys_are_different_work(flights):
    work = Work()
    askers = await started(flights, work, 1, "a") + await started(flights, work, 1, "b")
    work.gate.set()
    await asyncio.gather(*askers)
    assert work.begun == 2


async def test_an_error_reaches_every_asker_and_the_next_one_begins_anew(flights):
    work = Work(ValueError("broken"))
    askers = await started(flights, work, 2)
    work.gate.set()
    for asker in askers:
        with pytest.raises(ValueError, match="broken"):
            await asker
    with pytest.raises(ValueError, match="broken"):
        await flights.do("key", work)
    assert work.begun == 2


async def test_one_who_leaves_does_not_take_it_from_the_others(flights):
    work = Work()
    first, second = await started(flights, work, 2)
    first.cancel()
    await asyncio.wait([first])
    assert first.cancelled()
    work.gate.set()
    assert await second == ("done", True)
    assert work.cancelled == 0


async def test_the_last_who_leaves_ends_it_and_who_comes_then_begins_anew(flights):
    work = Work()
    askers = await started(flights, work, 2)
    for asker in askers:
        asker.cancel()
    await asyncio.wait(askers)
    late = await started(flights, work, 1)
    assert (work.begun, work.cancelled) == (2, 1)
    work.gate.set()
    assert await late[0] == ("done", False)


async def test_who_waits_for_it_to_be_over_neither_begins_it_nor_keeps_it_going(flights):
    work = Work()
    await flights.landed("key")
    (asker,) = await started(flights, work, 1)
    over = asyncio.create_task(flights.landed("key"))
    await asyncio.sleep(0)
    asker.cancel()
    await over
    assert (work.begun, work.cancelled) == (1, 1)
