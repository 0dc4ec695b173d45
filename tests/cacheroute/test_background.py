"""What goes on beside its owner: as long as he, and no longer."""

import asyncio

import pytest

from cacheroute.background import in_background


async def test_the_work_has_ended_when_the_context_is_left():
    steps: list[str] = []

    async def work() -> None:
        try:
            steps.append("begun")
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            steps.append("ended")

    async with in_background(work()):
        await asyncio.sleep(0)
        assert steps == ["begun"]
    assert steps == ["begun", "ended"]


async def test_what_it_failed_of_is_not_lost():
    async def work() -> None:
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        async with in_background(work()):
            await asyncio.sleep(0)
