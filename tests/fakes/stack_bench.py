"""A bench for supervision tests: plans of small real services in a state directory that is always cleaned up."""

import os
import signal
import sys
from pathlib import Path

import psutil
from fakes.ports import free_ports

from stack import Event, HttpProbe, Plan, Probe, Service, parse
from stack.conductor import Conductor
from stack.statedir import StateDir
from stack.status import ServiceStatus, StackStatus

FAKE = Path(__file__).with_name("slow_service.py")


class Bench:
    """A state directory, a free port a service, and what the services wrote down of themselves."""

    def __init__(self, root: Path) -> None:
        self.state_dir = root / "state"
        self.root = root
        self.spans_file = root / "spans"
        self.events: list[Event] = []
        self._lines: list[str] = []
        self._services: list[Service] = []

    def conductor(self) -> Conductor:
        return Conductor(self.state_dir, self.events.append)

    def service(
        self,
        name: str,
        *needs: str,
        options: str = "",
        ready: Probe | None = None,
        grace_s: float = 10.0,
        start_timeout_s: float = 30.0,
    ) -> Service:
        """Adds an instance of the fake service to the plan."""
        (port,) = free_ports(1)
        self._lines.append(f"{name}: {sys.executable} {FAKE} --guard --spans {self.spans_file} {options}")
        service = Service(
            name=name,
            entry=name,
            ready=ready or HttpProbe(f"http://127.0.0.1:{port}/", expect={"ready": True}),
            env={"NAME": name, "PORT": str(port), "BENCH": str(self.root)},
            needs=needs,
            ports=(("127.0.0.1", port),),
            grace_s=grace_s,
            start_timeout_s=start_timeout_s,
        )
        self._services.append(service)
        return service

    def plan(self) -> Plan:
        return Plan(str(self.root), parse("\n".join(self._lines)), tuple(self._services))

    def spans(self) -> dict[str, dict[str, float]]:
        """By service: when it began, was ready and ended, on one monotonic clock."""
        spans: dict[str, dict[str, float]] = {}
        for line in self.spans_file.read_text().splitlines():
            name, event, at_s = line.split()
            spans.setdefault(name, {})[event] = float(at_s)
        return spans

    def states(self, name: str) -> list[str]:
        """The states that a service went through, repetitions left out."""
        states = [event.state.value for event in self.events if event.service == name]
        return [state for i, state in enumerate(states) if i == 0 or state != states[i - 1]]

    def why(self, name: str) -> str:
        return next(event.why for event in reversed(self.events) if event.service == name)

    def processes(self) -> list[psutil.Process]:
        """Every living process that was started for this bench."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("BENCH") == str(self.root):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def clean_up(self) -> None:
        record = StateDir(self.state_dir).record()
        if record is not None and record.is_alive():
            os.kill(record.pid, signal.SIGKILL)
        for process in self.processes():
            process.kill()


def named(status: StackStatus) -> dict[str, ServiceStatus]:
    """The services of a status by their names."""
    return {service.name: service for service in status.services}
