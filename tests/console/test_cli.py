import subprocess
import sys
from pathlib import Path

import pytest

CONSOLE = str(Path(sys.executable).with_name("cacheroute-console"))


@pytest.mark.parametrize("stdin", [subprocess.DEVNULL, subprocess.PIPE])
def test_without_a_terminal_it_says_so_and_writes_no_escape_codes(stdin: int) -> None:
    done = subprocess.run([CONSOLE], stdin=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr
    assert "\x1b" not in done.stderr + done.stdout


def test_help_needs_no_terminal() -> None:
    done = subprocess.run([CONSOLE, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "--config" in done.stdout


def test_checking_for_a_terminal_costs_no_import_of_textual() -> None:
    code = "import sys; from console.cli import run; run([]); print('textual' in sys.modules, 'httpx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"


def test_the_screen_imports_no_client_before_its_first_paint() -> None:
    heavy = ("httpx", "psutil", "stack.conductor", "cacheroute.client")
    code = f"import sys, console.app; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
