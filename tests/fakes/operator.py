"""An operator at a shell: a configuration of their own on free ports, and the real `cacheroute` command."""

import json
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakes.ports import free_ports

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Operator:
    """`ports` by name, as `kvstore` or `scheduler.control`; `config` is the file."""

    home: Path
    config: Path
    ports: dict[str, int]

    @property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CACHEROUTE_")}
        return {**kept, "CACHEROUTE_CONFIG": str(self.config), "PATH": f"{BIN}:{kept['PATH']}"}

    def start(self, *words: str | bytes) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            ["cacheroute", *words],
            cwd=self.home,
            env=self.env,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def cacheroute(self, *words: str | bytes, stdin: str = "") -> Done:
        process = self.start(*words)
        out, err = process.communicate(stdin, timeout=240)
        return Done(process.returncode, out, err)


@contextmanager
def operator(home: Path, engine: str = "") -> Generator[Operator]:
    """An operator in `home`; `engine` replaces the engine's table. Whatever is up at the end is taken down."""
    names = ("scheduler", "scheduler.control", "embedder", "kvstore", "kdn", "engine", "proxy", "proxy.control",
             "instance", "instance.control")  # fmt: skip
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    config = home / "cacheroute.toml"
    config.write_text(
        f"""
[paths]
state = "{home}/state"
data = "{home}/data"
[scheduler]
port = {ports["scheduler"]}
control_port = {ports["scheduler.control"]}
lease_renew_s = 0.2
[embedder]
port = {ports["embedder"]}
[kvstore.kv-1]
port = {ports["kvstore"]}
maxmemory_mb = 64
[kdn.kdn-1]
port = {ports["kdn"]}
[engine.engine-1]
{engine or f"port = {ports['engine']}"}
[proxy.pool-1]
port = {ports["proxy"]}
control_port = {ports["proxy.control"]}
lease_renew_s = 0.2
[instance.instance-1]
port = {ports["instance"]}
control_port = {ports["instance.control"]}
"""
    )
    person = Operator(home, config, ports)
    try:
        yield person
    finally:
        person.cacheroute("down")
