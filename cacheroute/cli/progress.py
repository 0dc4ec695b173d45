"""Shows a stack as it starts or stops: a live table on a terminal, a line for each change elsewhere."""

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from cacheroute import sanitise
from cacheroute.cli.output import Output
from cacheroute.cli.terminal import console, state_cell, table
from stack.events import Event, State

_MOVING = (State.STARTING, State.DRAINING)


class Progress:
    """The last event of each process; draws itself anew whenever rich asks."""

    def __init__(self, names: Iterable[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun_s = clock()
        self._rows: dict[str, tuple[State, str, float]] = dict.fromkeys(names, (State.PENDING, "", self._begun_s))

    def __call__(self, event: Event) -> None:
        state, _, since_s = self._rows.get(event.service, (State.PENDING, "", 0.0))
        begun_s = since_s if state is event.state else self._clock()
        self._rows[event.service] = (event.state, _first_line(event.why), begun_s)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        now_s = self._clock()
        rows = (
            (name, state_cell(state), f"{now_s - since_s:.1f}" if state in _MOVING else "", why)
            for name, (state, why, since_s) in self._rows.items()
        )
        yield from table(("PROCESS", "STATE", "SECONDS", "WHY"), rows, options.max_width, ("SECONDS",))
        yield Text(f"{now_s - self._begun_s:.1f} s", style="dim")


class Lines:
    """One line on stderr whenever a process changes its state."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._states: dict[str, State] = {}

    def __call__(self, event: Event) -> None:
        if event.state is State.PENDING or self._states.get(event.service) is event.state:
            return
        self._states[event.service] = event.state
        self._out.note(
            f"{event.service:<14} {event.state.value:<9} {sanitise.for_line(_first_line(event.why))}".rstrip()
        )


@contextmanager
def shown(out: Output, names: Iterable[str]) -> Generator[Callable[[Event], None]]:
    """A listener for the stack's events that shows them while this is open."""
    screen = console(stderr=True)
    if out.as_json or not screen.is_terminal:
        yield Lines(out)
        return
    progress = Progress(names)
    with Live(progress, console=screen, refresh_per_second=8):
        yield progress


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
