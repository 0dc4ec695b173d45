"""The whole stack as a user starts it: `cacheroute up` on free ports, real engine, real embedder, real everything."""

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
from fakes.ports import free_ports

from cacheroute import tokens
from cacheroute.config import Config, load

PROGRAM = Path(sys.executable).with_name("cacheroute")
UP_TIMEOUT_S = 240


@dataclass(frozen=True)
class LiveStack:
    config_file: Path
    config: Config

    @property
    def base_url(self) -> str:
        """What an OpenAI client is given."""
        return f"http://127.0.0.1:{self.config.scheduler.port}/v1"

    @property
    def control_url(self) -> str:
        return f"http://127.0.0.1:{self.config.scheduler.control_port}"

    @property
    def token(self) -> str:
        return tokens.ensure(self.config.paths.state_dir).control

    def cacheroute(self, *words: str, check: bool = True) -> Any:
        """The JSON result of `cacheroute WORDS --json` on this stack."""
        command = [str(PROGRAM), *words, "--json", "--config", str(self.config_file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=UP_TIMEOUT_S, check=False)
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout, f"{' '.join(command)} said nothing: exit {done.returncode}, {done.stderr}"
        return json.loads(done.stdout)


def write_config(directory: Path, *, pools: int = 1, kdns: int = 1, extra: str = "") -> Path:
    """A configuration on free ports, with its state and data under `directory` and the models shared."""
    ports = iter(free_ports(4 + kdns + 5 * pools))
    lines = [
        "[paths]",
        f'state = "{directory / "state"}"',
        f'data = "{directory / "data"}"',
        "[scheduler]",
        f"port = {next(ports)}",
        f"control_port = {next(ports)}",
        "lease_renew_s = 0.3",
        "[embedder]",
        f"port = {next(ports)}",
    ]
    for number in range(1, kdns + 1):
        lines += [f"[kdn.kdn-{number}]", f"port = {next(ports)}"]
    lines += ["[kvstore.kv-1]", f"port = {next(ports)}"]
    for number in range(1, pools + 1):
        lines += [f"[engine.engine-{number}]", f"port = {next(ports)}"]
        lines += [f"[proxy.pool-{number}]", f"port = {next(ports)}", f"control_port = {next(ports)}"]
        lines += ["lease_renew_s = 0.3"]
        lines += [f"[instance.instance-{number}]", f'engine = "engine-{number}"', f'proxy = "pool-{number}"']
        lines += [f"port = {next(ports)}", f"control_port = {next(ports)}"]
    models = Path(platformdirs.user_data_path("cacheroute")) / "models"
    models.mkdir(parents=True, exist_ok=True)
    (directory / "data").mkdir(parents=True)
    (directory / "data" / "models").symlink_to(models)  # prepared once for the user, not once a test run
    file = directory / "cacheroute.toml"
    file.write_text("\n".join(lines) + "\n" + extra)
    return file


@contextmanager
def live_stack(directory: Path, **shape: Any) -> Generator[LiveStack]:
    """A stack that is up; taken down afterwards, whatever happened."""
    file = write_config(directory, **shape)
    stack = LiveStack(file, load(file, {}))
    try:
        stack.cacheroute("up")
        yield stack
    finally:
        stack.cacheroute("down", check=False)
