"""What importing the package costs: a command line's --help must not pay for HTTP or for supervisor."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["stack", "stack.plan", "stack.guard"])
def test_the_light_modules_stay_light(module: str) -> None:
    script = f"import sys, {module}; print(*{{'httpx', 'asyncio', 'psutil', 'supervisor'}} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
