"""Addresses: free, taken and by whom, or impossible."""

import os
import socket

import pytest

from stack import Service, TcpProbe
from stack.ports import conflicts, holder_of


def service(name: str, *ports: tuple[str, int]) -> Service:
    return Service(name=name, entry=name, ready=TcpProbe("127.0.0.1", 1), ports=ports)


@pytest.mark.parametrize(
    ("held", "wanted"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0")]
)
def test_a_taken_address_names_its_holder(held: str, wanted: str) -> None:
    with socket.create_server((held, 0)) as server:
        port = server.getsockname()[1]
        (conflict,) = conflicts([service("kdn", (wanted, port))])
    assert conflict.holder is not None
    assert conflict.holder.pid == os.getpid()
    assert str(conflict).startswith(f"kdn: {wanted}:{port} is taken by pid {os.getpid()} ")


def test_every_conflict_is_found_and_free_addresses_are_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [server.getsockname()[1] for server in (one, two)]
        with socket.create_server(("127.0.0.1", 0)) as three:
            free = three.getsockname()[1]
        found = conflicts(
            [service("a", ("127.0.0.1", ports[0]), ("127.0.0.1", free)), service("b", ("127.0.0.1", ports[1]))]
        )
    assert [(conflict.service, conflict.port) for conflict in found] == [("a", ports[0]), ("b", ports[1])]


def test_a_port_whose_last_connection_lingers_is_free() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    address = server.getsockname()
    client = socket.create_connection(address)
    accepted, _ = server.accept()
    accepted.close()  # the side that closes first keeps the port in TIME_WAIT
    client.close()
    server.close()
    assert conflicts([service("kdn", address)]) == []


def test_an_address_that_this_machine_does_not_have_is_told_as_such() -> None:
    (conflict,) = conflicts([service("kdn", ("203.0.113.1", 9101))])
    assert conflict.holder is None
    assert "cannot be bound: cannot assign requested address" in str(conflict)


def test_nobody_holds_a_free_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
    assert holder_of(address) is None
