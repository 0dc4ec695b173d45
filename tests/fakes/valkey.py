"""A real Valkey on a free port, to be killed, frozen and started again at will."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from fakes.ports import free_port

from cacheroute.kvstore.config import KvStoreConfig
from cacheroute.kvstore.launch import server_path, settings
from cacheroute.tokens import Tokens


class Valkey:
    """One store as the stack would start it. Leaving the `with` kills it."""

    def __init__(self, state_dir: Path, tokens: Tokens, *, name: str = "kv-1", maxmemory_mb: int = 256) -> None:
        self.name = name
        self.config = KvStoreConfig(port=free_port(), maxmemory_mb=maxmemory_mb, timeout_s=5)
        state_dir.mkdir(parents=True, exist_ok=True)
        self._conf = state_dir / f"{name}.conf"
        self._conf.write_text(settings(name, self.config, tokens, state_dir))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Valkey":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        command = [str(server_path()), str(self._conf)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline_s = time.monotonic() + 10
        while time.monotonic() < deadline_s:
            with socket.socket() as probe:
                if probe.connect_ex((self.config.host, self.config.port)) == 0:
                    return
            time.sleep(0.005)
        raise TimeoutError("valkey did not start")

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)
