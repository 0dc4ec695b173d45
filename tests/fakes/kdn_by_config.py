"""A KDN as a process of its own, just as a configuration names it, to be killed.

python -m fakes.kdn_by_config CONFIG.json NAME
"""

import os
import subprocess
import sys
from pathlib import Path

import msgspec

from cacheroute import service, telemetry
from cacheroute.config import Config
from cacheroute.kdn.app import planes


def start_kdn(config: Config, name: str, directory: Path) -> subprocess.Popen[bytes]:
    """The process; what it says goes to the end of `NAME.log` in `directory`."""
    file = directory / f"{name}.json"
    file.write_bytes(msgspec.json.encode(config))
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    with (directory / f"{name}.log").open("ab") as log:
        command = [sys.executable, "-m", "fakes.kdn_by_config", str(file), name]
        return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": path})


if __name__ == "__main__":
    config = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Config)
    telemetry.log_to_stderr(sys.argv[2])
    service.run(sys.argv[2], lambda: planes(config, sys.argv[2]))
