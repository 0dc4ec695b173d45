import asyncio
import os
import signal

import pytest
from textual.widgets import Static

from console.app import ConsoleApp, Show
from console.views import StackView, TrafficView
from stack.events import State
from stack.probe import Verdict
from stack.status import ServiceStatus, StackStatus


def view(state: State, taken_s: float = 10.0) -> StackView:
    service = ServiceStatus("kv-1", state, "", (), (), "", (), ready=Verdict(True))
    return StackView(taken_s, StackStatus(1, 1.0, (service,)))


class Story:
    """A feed that says what the test tells it to."""

    def __init__(self) -> None:
        self.views: asyncio.Queue[StackView | TrafficView] = asyncio.Queue()
        self.cancelled = False

    async def __call__(self, show: Show) -> None:
        try:
            while True:
                show(await self.views.get())
        except asyncio.CancelledError:
            self.cancelled = True
            raise


def shown(app: ConsoleApp, name: str) -> str:
    return str(app.query_one(f"#{name}", Static).render())


async def test_the_first_paint_waits_for_nobody() -> None:
    app = ConsoleApp(Story())
    async with app.run_test(size=(80, 24)):
        assert "asking the stack" in shown(app, "head")
        assert "q detach" in shown(app, "keys")


async def test_the_first_view_is_drawn_at_once() -> None:
    story = Story()
    app = ConsoleApp(story, clock=lambda: 10.2)
    async with app.run_test(size=(80, 24)) as pilot:
        story.views.put_nowait(view(State.READY))
        await pilot.pause()
        assert "● READY" in shown(app, "stack")
        assert "READY   1/1 processes   live" in shown(app, "head")


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
async def test_a_key_detaches_and_ends_the_feed(key: str) -> None:
    story = Story()
    app = ConsoleApp(story)
    async with app.run_test() as pilot:
        story.views.put_nowait(view(State.READY))
        await pilot.pause()
        await pilot.press(key)
    assert app.return_code == 0
    assert story.cancelled


async def test_paused_the_picture_holds_still() -> None:
    story = Story()
    app = ConsoleApp(story, clock=lambda: 10.2)
    async with app.run_test(size=(80, 24)) as pilot:
        story.views.put_nowait(view(State.READY))
        await pilot.pause()
        await pilot.press("p")
        story.views.put_nowait(view(State.FAILED))
        await pilot.resize_terminal(90, 24)
        assert "READY" in shown(app, "stack")
        assert "paused" in shown(app, "head")
        await pilot.press("p")
        story.views.put_nowait(view(State.FAILED))
        await pilot.pause()
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert "FAILED" in shown(app, "stack")


async def test_a_resize_fits_the_lines_to_the_new_width() -> None:
    app = ConsoleApp(Story())
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.resize_terminal(60, 15)
        await pilot.pause()
        assert all(len(line) <= 60 for line in shown(app, "stack").splitlines())


async def test_a_signal_ends_it_as_a_key_would() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        app = ConsoleApp(Story())
        async with app.run_test():
            os.kill(os.getpid(), number)
        assert app.return_code == 0
