"""Stops services of a running supervisord in the plan's reverse order: each after all that need it are gone."""

import asyncio
import time
from collections.abc import Collection
from contextlib import suppress

from stack.conf import stop_wait_s
from stack.errors import Refused, SupervisorError
from stack.events import Emit, State
from stack.plan import Plan, Service
from stack.rpc import Process, SupervisorClient

_POLL_S = 0.05
_FIRST_NOTICE_S = 1.0


class Stopper:
    """One descent through the plan."""

    def __init__(self, plan: Plan, client: SupervisorClient, emit: Emit) -> None:
        self._plan = plan
        self._client = client
        self._emit = emit
        self._tasks: dict[str, asyncio.Task[bool]] = {}

    async def run(self, names: Collection[str]) -> tuple[str, ...]:
        """Stops `names`, concurrently where the graph allows. Returns those that had to be killed."""
        async with asyncio.TaskGroup() as group:
            for name in self._plan.reverse_order():
                if name in names:
                    self._tasks[name] = group.create_task(self._after_dependants(self._plan[name]))
        return tuple(name for name, task in self._tasks.items() if task.result())

    async def _after_dependants(self, service: Service) -> bool:
        for dependant in self._plan.dependants(service.name):
            if dependant in self._tasks:
                await self._tasks[dependant]
        try:
            return await self.stop(service)
        except SupervisorError as error:
            self._emit(service.name, State.FAILED, str(error))
            return False

    async def stop(self, service: Service, outcome: State = State.STOPPED, why: str = "") -> bool:
        """Waits for one service to end, naming it while it blocks; True if it had to be killed.

        Ends in an event with `outcome` and `why`.
        """
        begun = time.monotonic()
        notice_s = _FIRST_NOTICE_S
        process = await self._client.process(service.name)
        if process.pid:
            self._emit(service.name, State.DRAINING, f"pid {process.pid} has {service.grace_s:g} s to end")
        while not process.is_gone:
            await self._ask(process)
            await asyncio.sleep(_POLL_S)
            if (waited_s := time.monotonic() - begun) > notice_s:
                self._emit(service.name, State.DRAINING, self._blocking(service, waited_s))
                notice_s *= 2
            process = await self._client.process(service.name)
        killed = time.monotonic() - begun >= stop_wait_s(service)
        notes = [why, f"killed: had not ended {service.grace_s:g} s after SIGTERM" if killed else ""]
        self._emit(service.name, outcome, "; ".join(note for note in notes if note))
        return killed

    async def _ask(self, process: Process) -> None:
        """Again and again, since one that had just exited is refused now and restarted a moment later."""
        if process.is_stoppable:
            with suppress(Refused):
                await self._client.stop(process.name)

    def _blocking(self, service: Service, waited_s: float) -> str:
        held = ", ".join(service.needs)
        return f"has not ended after {waited_s:.0f} s" + (f"; {held} must wait" if held else "")
