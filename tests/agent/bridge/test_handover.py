"""A bridge is upgraded or dies in the middle of a payment: both ends stay connected, and no byte is lost or twice."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from agent.bridge import wire
from agent.bridge.ring import Ring
from agent.tap import bridge_status
from tests.agent.bridge.house import USUAL, House, settings_of
from tests.agent.bridge.manager import Manager
from tests.agent.bridge.rig import Listener
from tests.waits import until


def traffic(house: House, stop: threading.Event) -> None:
    while not stop.wait(0.002):
        for end in house.ends:
            end.send()
            end.take()


def under_traffic(house: House, restart: Any, times: int) -> None:
    """Restart it so often while all ends speak; then everything must have arrived."""
    stop = threading.Event()
    speaker = threading.Thread(target=traffic, args=(house, stop))
    speaker.start()
    try:
        for number in range(times):
            said = house.ends[0].sent
            restart(number)
            until(lambda: house.ends[0].sent > said + 5, what="the ends go on speaking")  # noqa: B023
    finally:
        stop.set()
        speaker.join()
    for end in house.ends:
        try:
            until(end.whole)
        except AssertionError:
            raise AssertionError(f"{house.ends.index(end)}: {end.gap()}; {house.manager.log}") from None


def test_an_upgrade_under_traffic_loses_nothing(house: House) -> None:
    under_traffic(house, lambda _: house.manager.hang_up(), 8)
    assert house.manager.refused == [], "systemd listens to the main process only"
    listener = house.tap()
    until(lambda: len(listener.bytes(wire.CASHIER, "pos2")) >= len(house.ends[2].heard), what="the ring has all")
    assert listener.bytes(wire.CASHIER, "pos2") == bytes(house.ends[2].heard)
    assert listener.bytes(wire.TERMINAL, "pos1") == bytes(house.ends[1].heard)
    assert [body for body in listener.bodies(wire.LINK) if body["link"] == "down"] == []
    assert [body for body in listener.bodies(wire.PORT) if body["port"] != "opened"] == []


def test_an_orderly_restart_of_the_service_loses_nothing(house: House) -> None:
    under_traffic(house, lambda _: house.restart(), 4)
    listener = house.tap()
    until(lambda: len(listener.bytes(wire.CASHIER, "pos1")) >= len(house.ends[0].heard), what="the ring has all")
    assert listener.bytes(wire.CASHIER, "pos1") == bytes(house.ends[0].heard)


def test_killed_in_the_quiet_it_goes_on_with_the_same_lines_and_the_same_ring(house: House) -> None:
    """kill -9 between two messages: what stood in the kernel's buffers arrives, the offsets go on."""
    for end in house.ends:
        end.send()
    for end in house.ends:
        until(end.whole)
    first = house.tap()
    until(lambda: first.bytes(wire.CASHIER, "pos1") == b"0\n")
    house.manager.end(signal.SIGKILL)
    for end in house.ends:
        end.send()
    house.manager.start()
    for end in house.ends:
        until(end.whole, what=house.manager.log)
    second = house.tap()
    assert second.tap.hello.ring == first.tap.hello.ring
    until(lambda: second.bytes(wire.CASHIER, "pos1") == b"0\n1\n")
    assert second.bytes(wire.TERMINAL, "pos2") == b"0\n1\n"


def test_a_line_whose_settings_have_changed_is_opened_anew(house: House) -> None:
    house.manager.settings["lines"][0]["baudrate"] = 19200
    before = house.tap().tap.hello.ring
    house.manager.end(signal.SIGTERM)
    house.manager.start()
    assert house.tap().tap.hello.ring == before
    assert "not_taken_over" in house.manager.log
    house.ends[2].send()
    until(house.ends[2].whole, what="the other line goes on")
    assert not any(name.startswith("state") for name in house.manager.store)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_name_of_a_port_that_is_no_more_leads_nowhere(house: House, number: signal.Signals) -> None:
    """The kernel gives its pty's number to the next that asks: an application must not pay at another terminal."""
    line = house.manager.settings["lines"][0]
    line["cashier"] += "-renamed"
    house.manager.end(number)
    house.manager.start()
    assert sorted(path.name for path in house.run_dir.iterdir() if path.is_symlink()) == ["pos1-renamed"]


def test_other_lines_take_another_ring(house: House) -> None:
    before = house.tap().tap.hello.ring
    house.manager.settings["lines"][0]["name"] = "renamed"
    house.manager.end(signal.SIGTERM)
    house.manager.start()
    assert house.tap().tap.hello.ring != before


def test_what_waited_for_a_slow_application_arrives_after_an_upgrade(house: House) -> None:
    """More than the kernel holds: the rest stands in the process, and travels along."""
    data = bytes(range(256)) * 1024
    reader, writer = house.ends[3].sink, house.ends[3].source
    os.set_blocking(writer, False)
    sent = 0
    deadline = time.monotonic() + 20
    while sent < len(data) and time.monotonic() < deadline:
        if select.select([], [writer], [], 0.2)[1]:
            sent += os.write(writer, data[sent : sent + 4096])
    house.manager.hang_up()
    heard = bytearray()
    while len(heard) < sent:
        assert select.select([reader], [], [], 20)[0], f"{len(heard)} of {sent}"
        heard += os.read(reader, 65536)
    assert bytes(heard) == data[:sent]


def test_files_of_a_watched_folder_are_heard_once_each(tmp_path: Path) -> None:
    """No descriptor stands for a folder: what was heard of it is handed on instead."""
    letters = tmp_path / "letters"
    letters.mkdir()
    line = {"name": "pos1", "device": f"file:{letters}/*.txt", "cashier": "none", **USUAL}
    run_dir = tmp_path / "run"
    manager = Manager(tmp_path, settings_of(run_dir, [line]))
    written: list[bytes] = []

    def write() -> None:
        written.append(b"letter %d;" % len(written))
        fresh = tmp_path / "fresh"
        fresh.write_bytes(written[-1])
        fresh.rename(letters / f"{len(written):04}.txt")

    stop = threading.Event()

    def write_on() -> None:
        while not stop.wait(0.02) and len(written) < 900:
            write()

    writer = threading.Thread(target=write_on)
    try:
        manager.start()
        until(lambda: bridge_status(run_dir)["lines"]["pos1"]["link"] == "up")
        writer.start()
        for _ in range(2):
            manager.hang_up()
            until(lambda: bridge_status(run_dir)["lines"]["pos1"]["link"] == "up")
            manager.end(signal.SIGTERM)
            manager.start()
            until(lambda: bridge_status(run_dir)["lines"]["pos1"]["link"] == "up")
        stop.set()
        writer.join()
        listener = Listener(run_dir)
        listener.tap.request("tap", **{"from": 0})
        until(lambda: len(listener.bytes(wire.TERMINAL)) >= len(b"".join(written)), what=manager.log)
        assert listener.bytes(wire.TERMINAL) == b"".join(written)
        listener.close()
    finally:
        stop.set()
        manager.close()


def test_a_loop_that_hangs_is_not_praised(tmp_path: Path) -> None:
    """The watchdog's word comes from the loop: a stopped process says nothing."""
    house = House(tmp_path)
    house.manager.watchdog_usec = 300_000
    try:
        house.start()
        until(lambda: house.manager.said.count("WATCHDOG=1") > 3)
        assert house.manager.pid is not None
        os.kill(house.manager.pid, signal.SIGSTOP)
        quiet = house.manager.said.count("WATCHDOG=1")
        time.sleep(0.5)  # more than three of its turns: the absence of a word can only be waited for
        assert house.manager.said.count("WATCHDOG=1") <= quiet + 1
        os.kill(house.manager.pid, signal.SIGCONT)
        until(lambda: house.manager.said.count("WATCHDOG=1") > quiet + 1)
    finally:
        house.close()


def test_a_ring_of_another_size_or_of_something_else_does_not_fit() -> None:
    ring = Ring(8192, "abc")
    assert Ring.fits(ring.descriptor, 8192, "abc")
    assert not Ring.fits(ring.descriptor, 4096, "abc")
    assert not Ring.fits(ring.descriptor, 8192, "abd")
    strange = os.memfd_create("strange")
    assert not Ring.fits(strange, 8192, "abc")
    os.close(strange)


def test_a_ring_goes_on_after_its_process() -> None:
    ring = Ring(8192, "abc")
    for number in range(600):
        ring.append(0, wire.CASHIER, b"%d" % number)
    again = Ring(8192, "abc", os.dup(ring.descriptor))
    assert (again.identity, again.oldest, again.next) == (ring.identity, ring.oldest, ring.next)
    assert again.read(again.oldest, 8192) == ring.read(ring.oldest, 8192)
