"""Status: what supervisord, the probe and the journal say together."""

import os
import signal
from pathlib import Path

import pytest
from fakes.stack_bench import Bench
from fakes.until import until

from stack import Event, State, Verdict
from stack.conductor import Conductor
from stack.rpc import Process
from stack.status import StackStatus, judge


async def test_a_service_that_was_ready_is_healed_and_its_status_says_how_it_is(bench: Bench) -> None:
    kv = bench.service("kv")
    await bench.conductor().up(bench.plan())

    async def steady() -> bool:  # supervisord gives a process up only before it has stayed up for a second
        (service,) = (await bench.conductor().status()).services
        return service.uptime_s is not None and service.uptime_s >= 2

    await until(steady)
    (before,) = (await bench.conductor().status()).services
    assert before.usage is not None
    assert before.usage.rss_bytes > 2**20
    assert before.ports == kv.ports
    assert before.last_lines == (f"listening on {kv.ports[0][1]}",)
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)

    async def healed() -> bool:
        (service,) = (await bench.conductor().status()).services
        return service.state is State.READY and service.pid != before.pid

    await until(healed)


async def test_status_of_a_stack_that_never_was_is_empty_and_writes_nothing(tmp_path: Path) -> None:
    status = await Conductor(tmp_path / "state").status()
    assert status == StackStatus(None, None, ())
    assert not status.is_ready
    assert not (tmp_path / "state").exists()


UP = Process("kv", "RUNNING", 7, 3)
YES, NO = Verdict(True), Verdict(False, "503")


@pytest.mark.parametrize(
    ("process", "ready", "last", "state", "why"),
    [
        (UP, YES, State.STARTING, State.READY, ""),
        (UP, NO, State.STARTING, State.STARTING, "503"),
        (UP, NO, State.READY, State.DEGRADED, "503"),
        (Process("kv", "STOPPING", 7, 3), None, State.READY, State.DRAINING, ""),
        (Process("kv", "BACKOFF", 0, 0), None, State.READY, State.FAILED, "ended; it is about to be restarted"),
        (Process("kv", "FATAL", 0, 0), None, State.READY, State.FAILED, "ended too early too often"),
        (Process("kv", "STOPPED", 0, 0), None, State.FAILED, State.FAILED, "as told"),
        (Process("kv", "STOPPED", 0, 0), None, None, State.STOPPED, ""),
        (None, None, State.STOPPED, State.STOPPED, "as told"),
        (None, None, State.READY, State.STOPPED, "ended with its supervisord"),
    ],
)
def test_a_state_is_judged_with_its_why(
    process: Process | None, ready: Verdict | None, last: State | None, state: State, why: str
) -> None:
    event = None if last is None else Event(1, 0.0, "kv", last, "as told")
    found, reason = judge(process, ready, event)
    assert found is state
    assert reason.startswith(why)
    assert bool(reason) == bool(why)
