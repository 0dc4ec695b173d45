"""`cacheroute run` in a terminal, with the real embedded engine: from nothing to the console, everything left up."""

import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from fakes.operator import Operator, operator
from fakes.terminal import Terminal, terminal

from cacheroute.cli.run import FIRST_QUESTION
from cacheroute.config import Config

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(420),
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux"),
]


@pytest.fixture
def person() -> Generator[Operator]:
    with tempfile.TemporaryDirectory(prefix="cr-") as short, operator(Path(short)) as someone:
        prepared = Config().paths.data_dir / "models"  # by `make setup`
        if prepared.is_dir():
            (someone.home / "data").mkdir()
            (someone.home / "data" / "models").symlink_to(prepared)
        yield someone


@pytest.fixture
def window(person: Operator) -> Generator[Terminal]:
    with terminal(person.home, person.env) as opened:
        yield opened


def test_run_fills_a_new_stack_asks_opens_the_console_and_leaves_all_of_it_up(
    person: Operator, window: Terminal
) -> None:
    window.type("cacheroute run; echo code=$?")
    screen = window.wait_for("q detach", within_s=360)
    screen = window.wait_for("7/7 processes")
    assert "READY" in screen
    window.wait_for("kdn-1                      24")
    window.press("q")
    screen = window.wait_for("code=0")
    assert "the stack runs on" in screen
    assert "cacheroute down" in screen
    assert "7001" in screen, "the answer to the first question"

    answered = person.cacheroute("ask", FIRST_QUESTION, "--json").json["answer"]
    assert "7001" in answered["text"]
    assert answered["way"]["injection"] == "kv"
    again = person.cacheroute("knowledge", "build", "--all", "--json").json["builds"]
    assert {build["state"] for build in again} == {"present"}
    forgotten = person.cacheroute("knowledge", "delete", "kdn-artifacts.md", "--yes", "--json").json
    (gone,) = forgotten["kdns"].values()
    assert len(gone["artifacts"]) == len(gone["kids"]) > 0
