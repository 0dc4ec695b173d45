"""The guard: a child ends with its parent, through an exec; one that nobody supervises lives on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest

CHILD = (
    "import os, sys; from stack.guard import die_with_parent; die_with_parent();"
    "print(os.getpid(), flush=True); os.execvp('sleep', ['sleep', '60'])"
)
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"


def orphan(environment: dict[str, str]) -> psutil.Process:
    """Starts a parent with a guarded child, kills the parent, and returns the child once it has exec'ed."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        wait_until(lambda: child.name() == "sleep")
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
    return child


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited 10 s"
        time.sleep(0.01)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl is Linux's")
def test_a_supervised_child_ends_with_its_parent_even_after_exec() -> None:
    child = orphan({"SUPERVISOR_ENABLED": "1"})
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_process_that_nobody_supervises_outlives_its_shell() -> None:
    child = orphan({})
    try:
        assert child.is_running()
        assert child.status() != psutil.STATUS_ZOMBIE
    finally:
        child.kill()
