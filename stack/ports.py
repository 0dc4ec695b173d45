"""Which addresses are taken, and by whom. Blocks (it reads the system's tables): call it in a thread."""

import errno
import socket
from collections.abc import Iterable

import psutil
from msgspec import Struct

from stack.plan import Address, Service

_WILDCARDS = frozenset({"0.0.0.0", "::"})
_LONGEST_COMMAND = 120
_UNSEEN = "another user's process"


class Holder(Struct, frozen=True):
    """The process behind a listening socket."""

    pid: int
    name: str
    command: str

    def __str__(self) -> str:
        return f"pid {self.pid} {self.name} ({self.command[:_LONGEST_COMMAND]})"


class Conflict(Struct, frozen=True):
    """An address that a service cannot have; `holder` is None where the system does not say who has it."""

    service: str
    host: str
    port: int
    holder: Holder | None
    reason: str

    def __str__(self) -> str:
        return f"{self.service}: {self.host}:{self.port} {self.reason}"


def conflicts(services: Iterable[Service]) -> list[Conflict]:
    """Every address of `services` that cannot be bound now."""
    return [
        conflict
        for service in services
        for address in service.ports
        if (conflict := _conflict(service.name, address)) is not None
    ]


def holder_of(address: Address) -> Holder | None:
    """Who listens on `address`; None if nobody, or if it is not ours to see."""
    host, port = address
    try:
        hosts = {resolved[4][0] for resolved in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
        listening = {
            connection.laddr.ip: connection.pid
            for connection in psutil.net_connections(kind="tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
        }
        # An exact match first: a wildcard listener and a specific one may share a port.
        for ip in sorted(listening, key=lambda ip: ip not in hosts):
            if (pid := listening[ip]) and (hosts & _WILDCARDS or ip in hosts | _WILDCARDS):
                process = psutil.Process(pid)
                return Holder(pid, process.name(), " ".join(process.cmdline()))
    except (psutil.Error, OSError):
        return None
    return None


def _conflict(service: str, address: Address) -> Conflict | None:
    host, port = address
    failures = _bind(host, port)
    taken = any(error.errno == errno.EADDRINUSE for error in failures)
    if not failures:
        return None
    if not taken:
        reason = f"cannot be bound: {(failures[0].strerror or str(failures[0])).lower()}"
        return Conflict(service, host, port, None, reason)
    holder = holder_of(address)
    return Conflict(service, host, port, holder, f"is taken by {holder or _UNSEEN}")


def _bind(host: str, port: int) -> list[OSError]:
    """Tries every address of `host`: what was in use, or, where no address could be bound, why."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        return [error]
    failures: list[OSError] = []
    for family, kind, protocol, _, resolved in found:
        with socket.socket(family, kind, protocol) as attempt:
            # As servers do: a port whose last connections linger in TIME_WAIT is free.
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind(resolved)
            except OSError as error:
                failures.append(error)
    in_use = [error for error in failures if error.errno == errno.EADDRINUSE]
    return in_use or (failures if len(failures) == len(found) else [])
