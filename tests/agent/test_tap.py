"""The tap on something that is no bridge of ours: one kind of error, whatever it says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.bridge import wire
from agent.errors import UnreachableError
from agent.tap import Tap

HELLO = {
    "hello": "tillwatch-bridge",
    "ring": "ab",
    "boot_id": "cd",
    "oldest": 0,
    "next": 0,
    "names": ["pos1"],
    "child": False,
    "digest": "0",
    "pid": 1,
    "version": "1",
}
#: a record of a line that the hello has not named
STRANGE_LINE = wire.RECORD.pack(0, 0, 0, 1, 7, wire.CASHIER) + b"x"


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Greets whoever comes with these bytes, and answers him with those; gives its folder."""
    threads = []

    def saying(greeting: bytes, answer: bytes = b"") -> Path:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / wire.SOCKET_NAME))
        listener.listen(1)

        def serve() -> None:
            with listener:
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(greeting)
                    if answer:
                        connection.recv(1)
                        connection.sendall(answer)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return tmp_path

    yield saying
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    "greeting",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        wire.HEAD.pack(4, wire.JSON_TYPE) + b"{x}",
        wire.HEAD.pack(3, wire.JSON_TYPE) + b"[]",
        wire.json_message({"hello": "tillwatch-bridge"}),
        wire.json_message(HELLO | {"names": 5}),
    ],
)
def test_another_program_on_that_socket_is_no_bridge(bridge: Callable[..., Path], greeting: bytes) -> None:
    with pytest.raises(UnreachableError):
        Tap.connect(bridge(greeting))


@pytest.mark.parametrize(
    "message",
    [
        b"\xff" * 16,
        wire.HEAD.pack(4, wire.JSON_TYPE) + b"{x}",
        wire.HEAD.pack(3, wire.JSON_TYPE) + b"[]",
        wire.json_message({"gap": {"from": 1}}),
        wire.records_head(5) + b"short",
        wire.records_head(len(STRANGE_LINE)) + STRANGE_LINE,
    ],
)
def test_a_bridge_that_talks_nonsense_has_ended(bridge: Callable[..., Path], message: bytes) -> None:
    tap = Tap.connect(bridge(wire.json_message(HELLO), message))
    tap.request("tap")
    with pytest.raises(UnreachableError):
        tap.receive()
    tap.close()
