"""Begins and ends one supervisord for a state directory, and finds the one that runs there."""

import asyncio
import os
import sys
import time
from pathlib import Path

from stack.errors import SupervisorError
from stack.rpc import SupervisorClient
from stack.statedir import Record, StateDir

_POLL_S = 0.02
_LAUNCH_TIMEOUT_S = 20.0
_SHUTDOWN_TIMEOUT_S = 20.0


async def find(state: StateDir) -> Record | None:
    """The supervisord that runs here; None if none does, whatever a dead one left behind.

    Raises SupervisorError for one that lives and does not answer.
    """
    record, socket = state.record(), state.socket()
    try:
        async with SupervisorClient(socket) as client:
            pid = await client.pid()
    except SupervisorError as error:
        if record is not None and record.is_alive():
            raise SupervisorError(f"pid {record.pid} is this stack's supervisord, but {error}") from error
        return None
    if record is None or record.pid != pid:  # whoever started it died before writing it down
        return Record.of(pid, time.monotonic(), socket)
    return record


async def launch(state: StateDir) -> Record:
    """Starts supervisord as a daemon on the configuration that lies in `state`; it starts no program yet.

    Raises SupervisorError with what supervisord said.
    """
    origin_s = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "utf8", "-m", "supervisor.supervisord", "-c", str(state.conf)),
        env=_environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(_LAUNCH_TIMEOUT_S):
            output, _ = await process.communicate()  # ends when the daemon has let go of its terminal
    except TimeoutError:
        process.kill()
        raise SupervisorError(f"supervisord did not come up within {_LAUNCH_TIMEOUT_S:g} s") from None
    if process.returncode != 0:
        raise SupervisorError(f"supervisord did not start: {output.decode(errors='replace').strip()}")
    async with SupervisorClient(state.socket()) as client:
        record = Record.of(await client.pid(), origin_s, state.socket())
    state.write_record(record)
    return record


async def end(state: StateDir, record: Record) -> None:
    """Shuts supervisord down, with whatever it still runs, and removes its traces.

    Raises SupervisorError if it outlives its time.
    """
    async with SupervisorClient(Path(record.socket)) as client:
        await client.shutdown()
    deadline = time.monotonic() + _SHUTDOWN_TIMEOUT_S
    while record.is_alive():
        if time.monotonic() > deadline:
            raise SupervisorError(f"supervisord, pid {record.pid}, does not end")
        await asyncio.sleep(_POLL_S)
    state.forget()


def _environment() -> dict[str, str]:
    """Ours, but commands are looked for beside the running interpreter first: no venv need be active."""
    beside = str(Path(sys.executable).parent)
    return {
        **os.environ,
        "PATH": os.pathsep.join([beside, os.environ.get("PATH", os.defpath)]),
        "PYTHONSAFEPATH": "1",
    }
