"""A terminal of its own (tmux on a private socket): type, look, resize, and see in which state it is left."""

import shlex
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

_POLL_S = 0.05


class Terminal:
    """One window in which `sh` runs, 80 x 24 at first."""

    def __init__(self, socket: Path, cwd: Path, env: Mapping[str, str]) -> None:
        self._tmux = ["tmux", "-S", str(socket), "-f", "/dev/null"]
        self._env = {**env, "PS1": "$ ", "TERM": "xterm-256color"}
        self._run("new-session", "-d", "-x", "80", "-y", "24", "-c", str(cwd), "sh")

    def type(self, line: str) -> None:
        """Types a line and Enter."""
        self._run("send-keys", "-l", line)
        self._run("send-keys", "Enter")

    def press(self, key: str) -> None:
        self._run("send-keys", key)

    def resize(self, columns: int, rows: int) -> None:
        self._run("resize-window", "-x", str(columns), "-y", str(rows))

    def screen(self) -> str:
        return self._run("capture-pane", "-p")

    def flag(self, name: str) -> str:
        """A tmux variable of the pane, such as `alternate_on`."""
        return self._run("display-message", "-p", f"#{{{name}}}").strip()

    def wait_for(self, text: str, within_s: float = 30.0) -> str:
        """The screen, as soon as `text` is on it. Fails with what was there instead."""
        deadline_s = time.monotonic() + within_s
        while text not in (screen := self.screen()):
            assert time.monotonic() < deadline_s, f"no {text!r} within {within_s:g} s, but:\n{screen}"
            time.sleep(_POLL_S)
        return screen

    def hang_up(self) -> None:
        """Closes the window under whatever runs in it."""
        self._run("kill-window")

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], env=self._env, capture_output=True, check=False)

    def _run(self, *words: str) -> str:
        done = subprocess.run([*self._tmux, *words], env=self._env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"tmux {shlex.join(words)}: {done.stderr}"
        return done.stdout


@contextmanager
def terminal(directory: Path, env: Mapping[str, str]) -> Generator[Terminal]:
    """A terminal whose shell starts in `directory`, which must have a short path (it holds a socket)."""
    window = Terminal(directory / "tmux", directory, env)
    try:
        yield window
    finally:
        window.close()
