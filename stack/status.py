"""What a stack looks like now: supervisord's word, the probe's word and the system's, put together."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil
from msgspec import Struct

from stack import logs
from stack.events import Event, State
from stack.plan import Address, Plan, Service
from stack.probe import Verdict
from stack.prober import Prober
from stack.rpc import Process

_LAST_LINES = 10
_CPU_SAMPLE_S = 0.1


class Usage(Struct, frozen=True):
    """What a process and its descendants use; `cpu_pct` is of one core, over a short sample."""

    cpu_pct: float = 0.0
    rss_bytes: int = 0


class ServiceStatus(Struct, frozen=True):
    """One service. `why` and `last_lines` are foreign text."""

    name: str
    state: State
    why: str
    needs: tuple[str, ...]
    ports: tuple[Address, ...]
    log: str
    last_lines: tuple[str, ...]
    pid: int | None = None
    uptime_s: float | None = None
    ready: Verdict | None = None
    usage: Usage | None = None


class StackStatus(Struct, frozen=True):
    """A whole stack, in start order; `pid` is its supervisord's, None when it is down."""

    pid: int | None
    uptime_s: float | None
    services: tuple[ServiceStatus, ...]

    @property
    def is_ready(self) -> bool:
        return bool(self.services) and all(service.state is State.READY for service in self.services)


async def of_services(
    plan: Plan, processes: Mapping[str, Process], history: Mapping[str, Event], log_dir: Path
) -> tuple[ServiceStatus, ...]:
    """The services of `plan`; `processes` are supervisord's, `history` each service's last event."""
    async with Prober() as prober:
        return tuple(
            await asyncio.gather(
                *(
                    _of_service(plan[name], processes.get(name), history.get(name), log_dir, prober)
                    for name in plan.order()
                )
            )
        )


def judge(process: Process | None, ready: Verdict | None, last: Event | None) -> tuple[State, str]:
    """State and why. Only the last event tells a service that failed to start from one that was stopped."""
    if process is None or process.is_gone:
        if last is not None and last.state in (State.FAILED, State.STOPPED):
            return last.state, last.why
        if process is not None and process.state == "FATAL":
            return State.FAILED, "ended too early too often; it is not restarted any more"
        lost = process is None and last is not None and last.state is State.READY
        return State.STOPPED, "ended with its supervisord" if lost else ""
    if process.state == "STOPPING":
        return State.DRAINING, ""
    if ready is None:
        return State.FAILED, "ended; it is about to be restarted"
    if ready.ok:
        return State.READY, ""
    was_ready = last is not None and last.state is State.READY
    return State.DEGRADED if was_ready else State.STARTING, ready.reason


async def _of_service(
    service: Service, process: Process | None, last: Event | None, log_dir: Path, prober: Prober
) -> ServiceStatus:
    log = log_dir / f"{service.name}.log"
    lines = await asyncio.to_thread(logs.tail, log, _LAST_LINES)
    running = process if process is not None and process.is_up else None
    ready, usage = None, None
    if running is not None:
        ready, usage = await asyncio.gather(prober.check(service.ready), asyncio.to_thread(_usage, running.pid))
    state, why = judge(process, ready, last)
    return ServiceStatus(
        name=service.name,
        state=state,
        why=why,
        needs=service.needs,
        ports=service.ports,
        log=str(log),
        last_lines=tuple(lines),
        pid=running.pid if running is not None else None,
        uptime_s=running.uptime_s if running is not None else None,
        ready=ready,
        usage=usage,
    )


def _usage(pid: int) -> Usage:
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return Usage()
    begun, before = time.monotonic(), _cpu_s(family)
    time.sleep(_CPU_SAMPLE_S)
    spent_s = max(0.0, _cpu_s(family) - before)
    return Usage(round(100 * spent_s / (time.monotonic() - begun), 1), _rss_bytes(family))


def _cpu_s(family: list[psutil.Process]) -> float:
    total_s = 0.0
    for process in family:
        with suppress(psutil.Error):
            times = process.cpu_times()
            total_s += times.user + times.system
    return total_s


def _rss_bytes(family: list[psutil.Process]) -> int:
    total = 0
    for process in family:
        with suppress(psutil.Error):
            total += process.memory_info().rss
    return total
