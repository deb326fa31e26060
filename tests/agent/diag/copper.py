"""What wires do to bytes, for tests: a simulated terminal behind a bad line, on a pty that our side opens.

A pty carries neither speed nor parity. What a line of other settings would deliver is computed here, bit by bit: the
waveform of the sender, sampled as a UART of the receiver's settings samples it.
"""

from __future__ import annotations

import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from drivers import registry
from drivers.driver import Log, Scenario, Simulation
from drivers.simulated.shell import PtyPort, Shell
from tests.waits import until

Wire = Callable[[bytes], bytes]
_SPEEDS = {getattr(termios, f"B{speed}"): speed for speed in (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)}


def good(data: bytes) -> bytes:
    """A whole wire."""
    return data


def dead(_: bytes) -> bytes:
    """A wire that carries nothing."""
    return b""


def flips(every: int) -> Wire:
    """A half-dead wire: one bit of every so manieth byte is turned."""
    count = 0

    def wire(data: bytes) -> bytes:
        nonlocal count
        hurt = bytearray(data)
        for place in range(len(hurt)):
            count += 1
            if count % every == 0:
                hurt[place] ^= 1 << (count // every % 7)
        return bytes(hurt)

    return wire


def resampled(data: bytes, sent_at: int, heard_at: int) -> bytes:
    """Bytes of a UART (8N1) at one speed as one at another speed hears them."""
    if sent_at == heard_at:
        return data
    bits = [level for byte in data for level in (0, *((byte >> place) & 1 for place in range(8)), 1)]
    ratio = sent_at / heard_at  # bits of the sender in one of the receiver

    def level(at: float) -> int:
        return bits[int(at)] if 0 <= int(at) < len(bits) else 1

    heard, at, step = bytearray(), 0.0, ratio / 16
    while at < len(bits):
        if level(at):
            at += step
            continue
        heard.append(sum(level(at + (1.5 + place) * ratio) << place for place in range(8)))
        at += 9.5 * ratio
        while at < len(bits) and not level(at):  # a start bit needs an edge
            at += step
    return bytes(heard)


def with_parity(data: bytes, odd: bool) -> bytes:
    """Seven data bits and parity, as a receiver of eight data bits hears them."""
    return bytes(byte | (((bin(byte).count("1") + odd) % 2) << 7) for byte in data)


def parity_checked(data: bytes, odd: bool) -> bytes:
    """What a receiver of seven data bits and parity takes of eight bits: bytes with a wrong parity are dropped."""
    return bytes(byte & 0x7F for byte in data if bin(byte).count("1") % 2 == odd)


class Line(PtyPort):
    """A terminal's port: what it says goes through `out`, what it hears came through `into`.

    `speed`: its own speed; where the other side has opened the pty with another one, bytes are resampled.
    """

    def __init__(self, link: Path, out: Wire = good, into: Wire = good, speed: int | None = None) -> None:
        super().__init__(link)
        self._out, self._into, self._speed = out, into, speed

    def read(self) -> bytes:
        data = super().read()
        if data and self._speed:
            data = resampled(data, self._theirs(), self._speed)
        return self._into(data) if data else b""

    def write(self, data: bytes) -> None:
        if self._speed:
            data = resampled(data, self._speed, self._theirs())
        if hurt := self._out(data):
            super().write(hurt)

    def _theirs(self) -> int:
        return _SPEEDS[termios.tcgetattr(self._master)[5]]


@contextmanager
def terminal(
    protocol: str, line: Line, *scenarios: Scenario, reboot_s: float = 5.0, think_s: float = 0.01
) -> Iterator[list[Log]]:
    """A simulated terminal at that line; yields what it says it did, growing."""
    driver = registry.get(protocol)
    assert driver.simulated is not None
    settings = Simulation(scenarios=scenarios or (Scenario.APPROVE,), think_s=think_s, reboot_s=reboot_s)
    told: list[Log] = []
    shell = Shell(driver.simulated(settings), line, told.append)
    thread = threading.Thread(target=shell.run)
    thread.start()
    try:
        until(lambda: any(log.event == "ready" for log in told), what="simulated terminal")
        yield told
    finally:
        shell.stop()
        thread.join(20)
        assert not thread.is_alive()
