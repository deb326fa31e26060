"""Terminals on TCP, and TCP ports for cashier applications."""

from __future__ import annotations

import socket

from drivers.links.base import FAILED, NOT_FOUND, LinkError, reason_of

CONNECT_TIMEOUT_S = 5.0


class TcpLink:
    """A connected socket. `fileno` is non-blocking."""

    __slots__ = ("_socket",)

    def __init__(self, connection: socket.socket) -> None:
        tune(connection)
        self._socket = connection

    def fileno(self) -> int:
        """The descriptor."""
        return self._socket.fileno()

    def unsent(self) -> int:
        """Nothing: TCP has no speed that could change behind its bytes."""
        return 0

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


def tune(connection: socket.socket) -> None:
    """Small frames go out at once; a peer that vanished without a word is noticed within half a minute."""
    connection.setblocking(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def split_address(address: str) -> tuple[str, int]:
    """`HOST:PORT`, `[::1]:PORT`."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def open_tcp(address: str) -> TcpLink:
    """Connect to `HOST:PORT`; blocks up to some seconds. Raises LinkError."""
    try:
        return TcpLink(socket.create_connection(split_address(address), timeout=CONNECT_TIMEOUT_S))
    except socket.gaierror as error:
        raise LinkError(NOT_FOUND, f"{address}: {error.strerror}") from error
    except TimeoutError as error:
        raise LinkError("refused", f"{address} does not answer") from error
    except OSError as error:
        raise LinkError(reason_of(error.errno), f"{address}: {error.strerror or error}") from error


def listen(address: str) -> socket.socket:
    """A listening port. Raises LinkError."""
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind((host, port))
        listener.listen(4)
    except OSError as error:
        listener.close()
        reason = reason_of(error.errno)
        raise LinkError(FAILED if reason == NOT_FOUND else reason, f"{address}: {error.strerror or error}") from error
    return listener
