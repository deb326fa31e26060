"""Transparency: the same bytes, in the same order, both ways, whoever listens or does not."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable

import pytest

from agent.bridge import wire
from tests.agent.bridge.rig import FarEnd, Rig, read_exactly, write_all
from tests.waits import until

MANY = 2_000_000


def _cross(near: int, far: int, to_far: bytes, to_near: bytes) -> None:
    """Both ways at once."""
    writers = [
        threading.Thread(target=write_all, args=(near, to_far)),
        threading.Thread(target=write_all, args=(far, to_near)),
    ]
    got: dict[str, bytes] = {}
    readers = [
        threading.Thread(target=lambda: got.update(far=read_exactly(far, len(to_far), 30))),
        threading.Thread(target=lambda: got.update(near=read_exactly(near, len(to_near), 30))),
    ]
    for thread in writers + readers:
        thread.start()
    for thread in writers + readers:
        thread.join()
    assert got["far"] == to_far
    assert got["near"] == to_near


def _nobody(_rig: Rig) -> None:
    return


def _reading(rig: Rig) -> None:
    listener = rig.tap()
    stop = threading.Event()

    def pump() -> None:
        while not stop.is_set():
            listener.pump(0.05)

    thread = threading.Thread(target=pump)
    thread.start()
    rig.on_close(lambda: (stop.set(), thread.join())[0])


def _deaf(rig: Rig) -> None:
    rig.tap()


@pytest.mark.parametrize("listening", [_nobody, _reading, _deaf], ids=["no agent", "a tap", "a tap that never reads"])
def test_random_megabytes_cross_both_ways(rig: Rig, listening: Callable[[Rig], None]) -> None:
    far = rig.far()
    rig.line(far.device)
    rig.start()
    listening(rig)
    near = rig.open_port()
    _cross(near, far.master, os.urandom(MANY), os.urandom(MANY))
    state = rig.state()
    assert (state["bytes_to_terminal"], state["bytes_to_cashier"], state["dropped"]) == (MANY, MANY, 0)


def test_every_byte_value_passes_a_port_set_up_by_pyserial(rig: Rig) -> None:
    """No echo, no newline games, no XON/XOFF, no 0xFF doubling."""
    serial = pytest.importorskip("serial")
    far = rig.far()
    rig.line(far.device)
    rig.start()
    data = bytes(range(256)) * 8 + b"\xff\x00\x11\x13\x03\x04\r\n\xff\xff"
    with serial.Serial(str(rig.port()), 9600, timeout=5) as port:
        port.write(data)
        assert far.read(len(data)) == data
        far.write(data)
        assert port.read(len(data)) == data


def test_three_lines_do_not_mix(rig: Rig) -> None:
    fars = [rig.far(f"pos{i}") for i in range(3)]
    for i, far in enumerate(fars):
        rig.line(far.device, name=f"pos{i}")
    rig.start()
    nears = [rig.open_port(f"pos{i}") for i in range(3)]
    threads = [
        threading.Thread(target=_cross, args=(near, far.master, os.urandom(300_000), os.urandom(300_000)))
        for near, far in zip(nears, fars, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(3):
        assert rig.state(f"pos{i}")["bytes_to_terminal"] == 300_000


def test_one_flooding_application_does_not_starve_another_line(rig: Rig) -> None:
    """Its terminal is away, so its bytes go nowhere as fast as it can write."""
    far = rig.far("pos1")
    rig.line(far.device, name="pos1")
    rig.line(f"serial:{rig.folder}/nothing", name="flood")
    rig.start(up=False)
    until(lambda: rig.state()["link"] == "up")
    flood, near = rig.open_port("flood"), rig.open_port()
    stop = threading.Event()

    def pour() -> None:
        while not stop.is_set():
            write_all(flood, b"x" * 4096)

    thread = threading.Thread(target=pour)
    thread.start()
    try:
        for _ in range(50):
            os.write(near, b"ping")
            assert far.read(4, 2) == b"ping"
    finally:
        stop.set()
        thread.join()


def test_a_tcp_terminal_and_a_tcp_cashier(rig: Rig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as terminal, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        rig.line(f"tcp:127.0.0.1:{terminal.getsockname()[1]}", f"tcp:127.0.0.1:{port}")
        rig.start()
        far, _ = terminal.accept()
        with far, socket.create_connection(("127.0.0.1", port)) as near:
            until(lambda: rig.state()["port"] == "open")
            _cross(near.fileno(), far.fileno(), os.urandom(MANY), os.urandom(MANY))


def test_a_serial_port_towards_the_cashier(rig: Rig) -> None:
    far, near = rig.far("terminal"), rig.far("cashier")
    rig.line(far.device, near.device)
    rig.start()
    until(lambda: rig.state()["port"] == "open")
    _cross(near.master, far.master, os.urandom(100_000), os.urandom(100_000))


def test_without_a_cashier_side_the_terminal_is_only_listened_to(rig: Rig) -> None:
    far = rig.far()
    rig.line(far.device, "none")
    rig.start()
    listener = rig.tap()
    far.write(b"hello")
    until(lambda: listener.bytes(wire.TERMINAL) == b"hello")
    assert rig.state()["port"] == "none"


def test_a_slow_terminal_makes_the_application_wait_and_memory_stays_small(rig: Rig) -> None:
    far = rig.far()
    rig.line(far.device)
    rig.start()
    near, data = rig.open_port(), os.urandom(1_000_000)
    writer = threading.Thread(target=write_all, args=(near, data))
    writer.start()
    until(lambda: rig.state()["bytes_to_terminal"] > 32768)  # half of the high water: from there on it may have to wait
    taken = rig.state()["bytes_to_terminal"]
    assert taken < 200_000
    assert far.read(len(data)) == data
    writer.join()


def test_an_application_that_writes_much_and_leaves_is_heard_to_the_end(rig: Rig) -> None:
    far = rig.far()
    rig.line(far.device)
    rig.start()
    data = os.urandom(300_000)
    near = os.open(rig.port(), os.O_RDWR | os.O_NOCTTY)

    def write_and_leave() -> None:
        write_all(near, data)
        os.close(near)

    writer = threading.Thread(target=write_and_leave)
    writer.start()
    assert _read_slowly(far, len(data)) == data
    writer.join()
    until(lambda: rig.state()["port"] == "closed")


def _read_slowly(far: FarEnd, size: int) -> bytes:
    got = bytearray()
    while len(got) < size and (more := far.read(min(5000, size - len(got)), 5)):
        got += more
    return bytes(got)
