"""Ports that nobody listens on."""

import socket


def free_ports(count: int) -> list[int]:
    """`count` different free ports. All are held open until all are found, so that none is given twice."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def free_port() -> int:
    """One free port."""
    return free_ports(1)[0]
