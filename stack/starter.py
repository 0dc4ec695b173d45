"""Starts services along the plan: each as soon as all that it needs is READY, none because time has passed.

Readiness is what the probe says. A start fails at the process's first end, or when the time is over; the
process is then stopped, so that FAILED means that nothing of it runs. supervisord heals only what was READY.
"""

import asyncio
import time
from collections.abc import Collection
from pathlib import Path

from stack import logs
from stack.errors import SupervisorError
from stack.events import Emit, State
from stack.plan import Plan, Service
from stack.prober import Prober
from stack.rpc import SupervisorClient
from stack.stopper import Stopper

_LAST_LINES = 15
# The next look comes after a tenth of the time waited so far: quick for the quick, cheap for the slow.
_WAIT_SHARE = 0.1
_SHORTEST_WAIT_S, _LONGEST_WAIT_S = 0.03, 0.5


class Starter:
    """One ascent through the plan."""

    def __init__(self, plan: Plan, client: SupervisorClient, prober: Prober, log_dir: Path, emit: Emit) -> None:
        self._plan = plan
        self._client = client
        self._prober = prober
        self._log_dir = log_dir
        self._emit = emit
        self._stopper = Stopper(plan, client, emit)
        self._tasks: dict[str, asyncio.Task[str]] = {}

    async def run(self, names: Collection[str]) -> dict[str, str]:
        """Brings `names` (closed over needs) up, what runs already included. Returns why, for each not READY."""
        async with asyncio.TaskGroup() as group:
            for name in self._plan.order():
                if name in names:
                    self._emit(name, State.PENDING, "")
                    self._tasks[name] = group.create_task(self._after_needs(self._plan[name]))
        return {name: why for name, task in self._tasks.items() if (why := task.result())}

    async def _after_needs(self, service: Service) -> str:
        for position, need in enumerate(service.needs):
            if not self._tasks[need].done():
                self._emit(service.name, State.WAIT, "after " + ", ".join(service.needs[position:]))
            if await self._tasks[need]:
                why = f"not started: needs {need}, which is not READY"
                self._emit(service.name, State.STOPPED, why)
                return why
        try:
            return await self._start(service)
        except SupervisorError as error:
            self._emit(service.name, State.FAILED, str(error))
            return str(error)

    async def _start(self, service: Service) -> str:
        begun = time.monotonic()
        log = self._log_dir / f"{service.name}.log"
        log_begin = await asyncio.to_thread(logs.size, log)
        process = await self._client.process(service.name)
        if ran_before := process.is_up:
            self._emit(service.name, State.STARTING, f"runs already, pid {process.pid}")
        else:
            if not process.is_gone:
                await self._stopper.stop(service)
            await self._client.start(service.name)
            process = await self._client.process(service.name)
            self._emit(service.name, State.STARTING, f"pid {process.pid}")
        why = await self._until_ready(service, process.pid, begun)
        if not why:
            took = f"ready after {time.monotonic() - begun:.2f} s"
            self._emit(service.name, State.READY, f"runs already, pid {process.pid}" if ran_before else took)
            return ""
        lines = await asyncio.to_thread(logs.tail, log, _LAST_LINES, log_begin)
        await self._stopper.stop(service, State.FAILED, "\n".join([why, *lines]))
        return "\n".join([why, *lines])

    async def _until_ready(self, service: Service, pid: int, begun: float) -> str:
        """Empty when the probe is content with the process `pid`; else why there is no use in waiting."""
        reason = ""
        while True:
            verdict = await self._prober.check(service.ready)
            process = await self._client.process(service.name)
            if not process.is_up or process.pid != pid:  # a new pid means that supervisord restarted it
                ending = await self._client.ending(service.name)
                return f"{ending}, {time.monotonic() - begun:.1f} s after its start"
            if verdict.ok:
                return ""
            waited_s = time.monotonic() - begun
            if waited_s >= service.start_timeout_s:
                return f"not ready within {service.start_timeout_s:g} s: {verdict.reason}"
            if verdict.reason != reason:
                reason = verdict.reason
                self._emit(service.name, State.STARTING, reason)
            await asyncio.sleep(min(max(waited_s * _WAIT_SHARE, _SHORTEST_WAIT_S), _LONGEST_WAIT_S))
