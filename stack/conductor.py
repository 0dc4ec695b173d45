"""Brings one stack up in order, down in reverse, and says how it is: all that a command line needs.

    conductor = Conductor(state_dir, on_event=show)
    report = await conductor.up(plan)       # attaches, and starts only what does not run, if it is up
    status = await conductor.status()
    await conductor.down()                  # by the plan that is up, which lies in the state directory

supervisord keeps the processes; nothing here needs to stay alive once `up` has returned.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from msgspec import Struct

from stack import conf, daemon
from stack.errors import PlanError, PortsTaken, StackBusy
from stack.events import Emit, Event, EventStream, Listener
from stack.journal import Journal, JournalWriter
from stack.plan import Plan
from stack.ports import conflicts
from stack.prober import Prober
from stack.rpc import Process, SupervisorClient
from stack.starter import Starter
from stack.statedir import Record, StateDir, write_private
from stack.status import StackStatus, of_services
from stack.stopper import Stopper

_LOCK_POLL_S = 0.05


class UpReport(Struct, frozen=True):
    """What an `up` did. `failed` says why, for each service that was wanted and is not READY."""

    attached: bool
    """The stack was up already, and was only completed."""
    pid: int
    """supervisord's."""
    started: tuple[str, ...]
    running_before: tuple[str, ...]
    outdated: tuple[str, ...]
    """Running by an older definition than the plan's; `down` and `up` them to change that."""
    failed: Mapping[str, str]
    took_s: float

    @property
    def ok(self) -> bool:
        return not self.failed


class DownReport(Struct, frozen=True):
    """What a `down` did; `killed` are those that had not ended within their grace."""

    was_up: bool
    stopped: tuple[str, ...]
    killed: tuple[str, ...]
    took_s: float


def _nobody(event: Event) -> None:
    """Listens to nothing."""


class Conductor:
    """One stack in one state directory. `on_event` is called on the event loop and must not block."""

    def __init__(self, state_dir: Path, on_event: Listener = _nobody) -> None:
        self._state = StateDir(state_dir)
        self._journal = Journal(self._state.journal)
        self._on_event = on_event

    async def up(self, plan: Plan, only: Collection[str] = (), patience_s: float = 600.0) -> UpReport:
        """Starts `only` and what it needs (all, if empty), where it does not run yet, and waits for READY.

        A service that cannot be started is in the report, and what runs stays up, to be looked at. Waits up
        to `patience_s` for another `up` or `down`. Raises PlanError, PortsTaken (then nothing was started),
        StackBusy and SupervisorError.
        """
        begun = time.monotonic()
        wanted = plan.with_needs(only or [service.name for service in plan.services])
        with await self._lock(patience_s):
            record = await self._settled()
            processes = await _processes(record)
            merged = self._merge(plan, processes)
            wanted = merged.with_needs(wanted)
            running = frozenset(name for name in wanted if name in processes and processes[name].is_up)
            missing = [merged[name] for name in merged.order() if name in wanted - running]
            if taken := await asyncio.to_thread(conflicts, missing):
                raise PortsTaken(*map(str, taken))
            self._write(merged)
            attached = record is not None
            if record is None:
                self._journal.clear()
                record = await daemon.launch(self._state)
            async with (
                SupervisorClient(Path(record.socket)) as client,
                Prober() as prober,
                self._emitting(record) as emit,
            ):
                if attached:
                    await client.reload()
                failed = await Starter(merged, client, prober, self._state.logs, emit).run(wanted)
        return UpReport(
            attached=attached,
            pid=record.pid,
            started=tuple(service.name for service in missing if service.name not in failed),
            running_before=tuple(sorted(running)),
            outdated=merged.differing(plan),
            failed=failed,
            took_s=time.monotonic() - begun,
        )

    async def down(self, only: Collection[str] = (), patience_s: float = 600.0) -> DownReport:
        """Stops `only` and what needs it; if `only` is empty, everything, and supervisord with it.

        Removes what a dead supervisord left. Raises PlanError, StackBusy and SupervisorError.
        """
        begun = time.monotonic()
        with await self._lock(patience_s):
            record, plan = await self._settled(), self._state.plan()
            if record is None:
                return DownReport(False, (), (), time.monotonic() - begun)
            up = {name for name, process in (await _processes(record)).items() if not process.is_gone}
            killed: tuple[str, ...] = ()
            stopping: frozenset[str] = frozenset()
            if plan is not None:
                stopping = (plan.with_dependants(only) if only else frozenset(plan.order())) & up
                async with SupervisorClient(Path(record.socket)) as client, self._emitting(record) as emit:
                    killed = await Stopper(plan, client, emit).run(stopping)
            if not only:
                await daemon.end(self._state, record)
        return DownReport(True, tuple(sorted(stopping)), killed, time.monotonic() - begun)

    async def status(self) -> StackStatus:
        """How every service is now, by the plan that is up or was last. Changes nothing.

        Raises SupervisorError for a supervisord that lives and does not answer.
        """
        record, plan = await daemon.find(self._state), self._state.plan()
        processes = await _processes(record)
        history = await asyncio.to_thread(self._journal.latest)
        services = await of_services(plan, processes, history, self._state.logs) if plan is not None else ()
        if record is None:
            return StackStatus(None, None, services)
        return StackStatus(record.pid, time.monotonic() - record.origin_s, services)

    def _merge(self, plan: Plan, processes: Mapping[str, Process]) -> Plan:
        before = self._state.plan()
        up = [name for name, process in processes.items() if not process.is_gone]
        if before is None or not up:
            return plan
        try:
            return plan.over(before, up)
        except PlanError as error:
            reason = f"the plan does not fit what is up ({', '.join(sorted(up))}): take it down first"
            raise PlanError(reason, *error.problems) from None

    def _write(self, plan: Plan) -> None:
        self._state.prepare()
        text = conf.render(plan, self._state.socket(), self._state.pidfile, self._state.logs)
        write_private(self._state.conf, text.encode())
        self._state.write_plan(plan)

    async def _settled(self) -> Record | None:
        """The supervisord that runs here, written down; what a dead one left is removed."""
        record = await daemon.find(self._state)
        if record is None:
            self._state.forget()
        else:
            self._state.write_record(record)
        return record

    async def _lock(self, patience_s: float) -> IO[str]:
        self._state.prepare()
        deadline = time.monotonic() + patience_s
        while True:
            try:
                return self._state.lock()
            except StackBusy:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(_LOCK_POLL_S)

    @asynccontextmanager
    async def _emitting(self, record: Record) -> AsyncGenerator[Emit]:
        last = await asyncio.to_thread(lambda: max((event.seq for event in self._journal.read()), default=0))
        async with JournalWriter(self._journal) as writer:
            yield EventStream(record.origin_s, last, writer, self._on_event).emit


async def _processes(record: Record | None) -> dict[str, Process]:
    if record is None:
        return {}
    async with SupervisorClient(Path(record.socket)) as client:
        return await client.processes()
