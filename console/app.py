"""The screen: where each view stands, how often it is drawn, which keys there are. Asks nobody anything: `feed` does.

Painted once before anything heavy is imported; every view may be missing, old or a reason why there is none.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from console.lines import fitted, head_line, joined, request_lines, stack_lines, traffic_lines
from console.views import StackView, TrafficView

Show = Callable[[StackView | TrafficView], None]
Feed = Callable[[Show], Awaitable[None]]
"""Hands views over until it is cancelled."""

REDRAW_S = 1.0
KEYS = "q detach (the stack runs on)   p pause   stop the stack: cacheroute down"
LEAST_REQUEST_LINES = 4
HANG_UP_S = 3
"""For an orderly end after the terminal has gone; then SIGALRM ends the process."""


class ConsoleApp(App[None]):
    """A live picture of one stack. Ends on `q`, SIGTERM and SIGHUP, the terminal as it was before."""

    TITLE = "CacheRoute"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+c", "quit", "Detach", priority=True),
        Binding("p", "pause", "Pause"),
    ]
    CSS = "Static { height: auto; } #requests { height: 1fr; } #head, #keys { height: 1; } #keys { text-style: dim; }"

    def __init__(self, feed: Feed, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._feed = feed
        self._clock = clock
        self._stack: StackView | None = None
        self._traffic: TrafficView | None = None
        self._paused = False
        self._drawn: dict[str, str] = {}

    def compose(self) -> ComposeResult:
        for name in ("head", "stack", "traffic", "requests"):
            yield Static(id=name, markup=False)
        yield Static(KEYS, id="keys", markup=False)

    def on_mount(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.exit)  # else the alternate screen and the mouse stay on
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        self._draw()
        self.set_interval(REDRAW_S, self._draw)
        self.call_after_refresh(lambda: self.run_worker(self._follow(), exclusive=True))

    def on_resize(self) -> None:
        self.call_later(self._draw)  # after Textual's own handler, which is what knows the new size

    def action_pause(self) -> None:
        """Holds the picture still; news go on being taken."""
        self._paused = not self._paused
        self._draw_head()

    def _hung_up(self) -> None:
        """Ends, and soon: what waits for a terminal that is gone waits for ever."""
        signal.alarm(HANG_UP_S)
        self.exit()

    async def _follow(self) -> None:
        await self._feed(self._take)

    def _take(self, view: StackView | TrafficView) -> None:
        first = self._stack is None and isinstance(view, StackView)
        if not self._paused:
            if isinstance(view, StackView):
                self._stack = view
            else:
                self._traffic = view
        if first:
            self._draw()

    def _draw(self) -> None:
        self._draw_head()
        width, height = self.size
        room = max(2, height - 2)
        stack = fitted(stack_lines(self._stack, width), max(2, room - LEAST_REQUEST_LINES - 2))
        traffic = fitted(traffic_lines(self._traffic, width), max(2, room - len(stack) - LEAST_REQUEST_LINES))
        requests = fitted(request_lines(self._traffic, width), max(0, room - len(stack) - len(traffic)))
        for name, lines in (("stack", stack), ("traffic", traffic), ("requests", requests)):
            self._put(name, joined(lines))

    def _draw_head(self) -> None:
        head = head_line(self._stack, self._traffic, self._clock(), self.size.width, paused=self._paused)
        self._put("head", head)

    def _put(self, name: str, content: Content) -> None:
        """Only what changed is drawn: a line costs more on the terminal than in here."""
        if self._drawn.get(name) != content.markup:
            self._drawn[name] = content.markup
            self.query_one(f"#{name}", Static).update(content)
