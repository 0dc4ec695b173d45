"""The plan: which services there are, and what each needs before it may start. Starts nothing.

A Plan that exists is valid: names known and unique, no cycle, no two services on one address. Order is
deterministic: among those that may come next, the lexicographically first comes first.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush

from msgspec import Struct

from stack.errors import PlanError
from stack.probe import Probe
from stack.procfile import Entry

Address = tuple[str, int]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Service(Struct, frozen=True, kw_only=True):
    """One process to supervise: an instance of a Procfile line."""

    name: str
    entry: str
    ready: Probe
    env: Mapping[str, str] = {}
    needs: tuple[str, ...] = ()
    ports: tuple[Address, ...] = ()
    grace_s: float = 10.0
    """How long it may take to end after SIGTERM; then SIGKILL."""
    start_timeout_s: float = 60.0
    """How long it may take from its spawning to READY."""


class Plan(Struct, frozen=True):
    """A validated graph of services over the entries of a Procfile.

    `directory` is where the commands run. Raises PlanError with every fault, when made and when decoded.
    """

    directory: str
    entries: tuple[Entry, ...]
    services: tuple[Service, ...]

    def __post_init__(self) -> None:
        problems = list(_problems(self.entries, self.services))
        if not self.directory.startswith("/"):
            problems.append(f"the directory {self.directory!r} is not absolute")
        if problems:
            raise PlanError(*problems)

    def __getitem__(self, name: str) -> Service:
        return self._by_name()[name]

    def argv(self, service: Service) -> tuple[str, ...]:
        return next(entry.argv for entry in self.entries if entry.name == service.entry)

    def order(self) -> tuple[str, ...]:
        """Every name, each after what it needs."""
        return tuple(_ordered({service.name: service.needs for service in self.services}))

    def reverse_order(self) -> tuple[str, ...]:
        """Every name, each before what it needs."""
        return self.order()[::-1]

    def dependants(self, name: str) -> tuple[str, ...]:
        """Who needs `name` directly."""
        return tuple(sorted(service.name for service in self.services if name in service.needs))

    def with_needs(self, names: Collection[str]) -> frozenset[str]:
        """`names` and all that they need, directly or not. Raises PlanError for a name that is unknown."""
        return self._closure(names, lambda name: self[name].needs)

    def with_dependants(self, names: Collection[str]) -> frozenset[str]:
        """`names` and all that need them, directly or not. Raises PlanError for a name that is unknown."""
        return self._closure(names, self.dependants)

    def over(self, running: "Plan", up: Collection[str]) -> "Plan":
        """This plan as far as it can hold now: services of `running` that are up stay as they were started.

        Raises PlanError where the two do not fit together.
        """
        kept = {service.name: service for service in running.services if service.name in up}
        lines = {entry.name: entry for entry in running.entries}
        entries = {entry.name: entry for entry in self.entries}
        return Plan(
            self.directory,
            tuple((entries | {service.entry: lines[service.entry] for service in kept.values()}).values()),
            (*kept.values(), *(service for service in self.services if service.name not in kept)),
        )

    def differing(self, other: "Plan") -> tuple[str, ...]:
        """Who is defined otherwise in `other`, or not at all."""
        theirs = other._by_name()
        return tuple(
            service.name
            for service in self.services
            if theirs.get(service.name) != service or other.argv(service) != self.argv(service)
        )

    def _by_name(self) -> dict[str, Service]:
        return {service.name: service for service in self.services}

    def _closure(self, names: Collection[str], step: Callable[[str], tuple[str, ...]]) -> frozenset[str]:
        known = self._by_name()
        if unknown := sorted(set(names) - known.keys()):
            raise PlanError(*(f"there is no service {name!r}; there are {_listed(known)}" for name in unknown))
        found: set[str] = set()
        pending = list(names)
        while pending:
            if (name := pending.pop()) not in found:
                found.add(name)
                pending.extend(step(name))
        return frozenset(found)


def _problems(entries: tuple[Entry, ...], services: tuple[Service, ...]) -> Iterator[str]:
    names = Counter(service.name for service in services)
    lines = {entry.name for entry in entries}
    for name, count in sorted(names.items()):
        if count > 1:
            yield f"{name}: defined {count} times"
    for service in services:
        if not _NAME.fullmatch(service.name):
            yield f"{service.name!r} is not a name (letters, digits, -, _ and .)"
        if service.entry not in lines:
            yield f"{service.name}: the Procfile has no line {service.entry!r}; it has {_listed(lines)}"
        for need in service.needs:
            if need not in names:
                yield f"{service.name}: needs {need!r}, which is not a service"
        for variable in service.env:
            if not _VARIABLE.fullmatch(variable):
                yield f"{service.name}: {variable!r} is not a name for an environment variable"
        if service.grace_s <= 0 or service.start_timeout_s <= 0:
            yield f"{service.name}: grace_s and start_timeout_s must be above 0"
    yield from _shared_addresses(services)
    yield from _cycles({service.name: [n for n in service.needs if n in names] for service in services})


def _shared_addresses(services: tuple[Service, ...]) -> Iterator[str]:
    owners: dict[Address, list[str]] = {}
    for service in services:
        for address in service.ports:
            owners.setdefault(address, []).append(service.name)
    for (host, port), names in owners.items():
        if len(names) > 1:
            yield f"{' and '.join(names)}: one address for both, {host}:{port}"


def _cycles(needs: Mapping[str, list[str]]) -> Iterator[str]:
    """Names a cycle, opens it, and looks again, until there is none."""
    graph = {name: list(them) for name, them in needs.items()}
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            cycle: list[str] = error.args[1]  # each is needed by the one after it
            yield "cycle: " + " needs ".join(reversed(cycle))
            graph[cycle[1]] = [need for need in graph[cycle[1]] if need != cycle[0]]
        else:
            return


def _ordered(needs: Mapping[str, Iterable[str]]) -> Iterator[str]:
    sorter = TopologicalSorter(needs)
    sorter.prepare()
    may_come: list[str] = []
    while sorter.is_active():
        for name in sorter.get_ready():
            heappush(may_come, name)
        name = heappop(may_come)
        sorter.done(name)
        yield name


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
