"""Ports on the loopback address: a preferred one when it is free, the one used last, or any."""

import socket
from collections.abc import Container, Iterable

import psutil

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now (nobody else listens there, on any address)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose(wanted: Iterable[int | None], taken: Container[int]) -> int:
    """The first of `wanted` that is free, else any free port; never one of `taken`."""
    for port in wanted:
        if port is not None and port not in taken and is_free(port):
            return port
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as any_free:
            any_free.bind((LOOPBACK, 0))
            port = int(any_free.getsockname()[1])
        if port not in taken:
            return port


def strangers(port: int, own: Container[int]) -> set[int | None]:
    """Pids (None: another user's) outside `own` that listen on `port`.

    gRPC listens with SO_REUSEPORT, so two servers may share a port without either noticing.
    """
    return {
        connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
        and connection.laddr
        and connection.laddr.port == port
        and connection.pid not in own
    }
