"""The console in a real terminal, over a real stack: what is seen, and that the terminal is left as it was."""

import re
import shutil
import signal
import tempfile
from collections.abc import Generator
from pathlib import Path

import psutil
import pytest
from fakes.operator import Operator, operator
from fakes.terminal import Terminal, terminal

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")]


@pytest.fixture
def home() -> Generator[Path]:
    with tempfile.TemporaryDirectory(prefix="cr-") as short:
        yield Path(short)


@pytest.fixture
def person(home: Path) -> Generator[Operator]:
    with operator(home) as someone:
        yield someone


@pytest.fixture
def window(person: Operator) -> Generator[Terminal]:
    with terminal(person.home, person.env) as opened:
        yield opened


def _open(window: Terminal) -> psutil.Process:
    """Opens the console; its process."""
    window.type("echo my pid is $$; cacheroute-console; echo code=$?")
    window.wait_for("q detach")
    shell = int(window.flag("pane_pid"))
    (console,) = psutil.Process(shell).children()
    return console


def _assert_clean(window: Terminal, code: int) -> None:
    screen = window.wait_for(f"code={code}")
    assert "my pid is" in screen  # what was there before is there again
    assert window.flag("alternate_on") == "0"
    assert window.flag("mouse_any_flag") == "0"
    assert window.flag("cursor_flag") == "1"


def test_it_shows_the_stack_live_and_q_leaves_it_running(person: Operator, window: Terminal) -> None:
    assert person.cacheroute("up", "--only", "kv-1").code == 0
    _open(window)
    window.wait_for("● READY")
    assert "NOT READY   1/7 processes   live" in window.screen()
    assert person.cacheroute("up", "--only", "scheduler").code == 0
    window.wait_for("2/7 processes")
    window.press("q")
    _assert_clean(window, 0)
    services = person.cacheroute("status", "--json").json["services"]
    assert {service["name"] for service in services if service["ready"]} == {"kv-1", "scheduler"}


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_leaves_the_terminal_as_it_was(window: Terminal, name: str) -> None:
    console = _open(window)
    assert window.flag("alternate_on") == "1"
    console.send_signal(getattr(signal, name))
    _assert_clean(window, 0)


def test_without_a_stack_it_says_what_to_do_and_notices_when_one_comes_and_goes(
    person: Operator, window: Terminal
) -> None:
    _open(window)
    window.wait_for("cacheroute up")
    assert person.cacheroute("up", "--only", "kv-1").code == 0
    window.wait_for("● READY")
    assert person.cacheroute("down").code == 0
    window.wait_for("DOWN")
    window.press("q")
    _assert_clean(window, 0)


@pytest.mark.parametrize(("columns", "rows"), [(60, 15), (120, 36), (80, 24), (30, 6)])
def test_a_resize_is_followed(person: Operator, window: Terminal, columns: int, rows: int) -> None:
    assert person.cacheroute("up", "--only", "kv-1").code == 0
    _open(window)
    window.wait_for("● READY")
    window.resize(columns, rows)
    screen = window.wait_for("READY")
    assert "Traceback" not in screen
    window.press("q")
    window.resize(80, 24)
    _assert_clean(window, 0)


def test_a_bad_configuration_is_said_in_the_terminal(person: Operator, window: Terminal) -> None:
    person.config.write_text("[scheduler]\nport = 'x'\n")
    window.type("cacheroute-console; echo code=$?")
    screen = window.wait_for("code=1")
    assert "scheduler.port" in re.sub(r"\s", "", screen)


def test_the_terminal_that_closes_ends_the_console(window: Terminal) -> None:
    console = _open(window)
    window.hang_up()
    console.wait(timeout=10)
