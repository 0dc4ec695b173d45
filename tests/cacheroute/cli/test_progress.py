import pytest
from rich.console import Console

from cacheroute.cli.output import Output
from cacheroute.cli.progress import Lines, Progress, shown
from stack.events import Event, State


def event(service: str, state: State, why: str = "") -> Event:
    return Event(1, 0.0, service, state, why)


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def drawn(progress: Progress, width: int = 80) -> list[str]:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(progress)
    return capture.get().splitlines()


def test_the_table_shows_each_process_and_how_long_it_has_been_starting() -> None:
    clock = Clock()
    progress = Progress(["kv-1", "engine-1"], clock)
    progress(event("kv-1", State.READY, "ready after 0.4 s"))
    progress(event("engine-1", State.STARTING, "pid 7"))
    clock.now_s += 12.5
    progress(event("engine-1", State.STARTING, "the model is being loaded\nmore of the log"))
    _, kv, engine, total = drawn(progress)
    assert "● READY" in kv
    assert all(piece in engine for piece in ("◐ STARTING", "12.5", "the model is being loaded"))
    assert "more of the log" not in engine
    assert total == "12.5 s"


def test_it_fits_a_narrow_terminal() -> None:
    progress = Progress(["a-process-with-a-long-name"])
    progress(event("a-process-with-a-long-name", State.FAILED, "why " * 40))
    assert all(len(line) <= 60 for line in drawn(progress, 60))


def test_without_a_terminal_each_change_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    lines = Lines(Output(as_json=False))
    for state, why in [
        (State.PENDING, ""),
        (State.STARTING, "pid 7"),
        (State.STARTING, "503"),
        (State.READY, "ready after 1 s\x1b[2J"),
    ]:
        lines(event("kv-1", state, why))
    said = capfd.readouterr().err
    assert [line.split()[:2] for line in said.splitlines()] == [["kv-1", "STARTING"], ["kv-1", "READY"]]
    assert "\x1b" not in said


def test_with_json_nothing_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with shown(Output(as_json=True), ["kv-1"]) as show:
        show(event("kv-1", State.READY))
    said = capfd.readouterr()
    assert said.out + said.err == ""
