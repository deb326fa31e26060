"""Records a simulated terminal on a real pty into a log, for the makers beside this file."""

from __future__ import annotations

import contextlib
import queue
import selectors
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agent.tlog import Event, Header, Writer
from drivers.driver import Driver, Framing, Log, Scenario, Simulation
from drivers.observations import Direction
from drivers.simulated.shell import PtyPort, Shell

FOLDER = Path(__file__).parent
QUIET_S = 0.2


class TappedPort(PtyPort):
    """A simulator's pty that writes down what passes."""

    def __init__(self, link: Path, writer: Writer) -> None:
        super().__init__(link)
        self._writer = writer
        self._began = time.monotonic()
        self._opened = False
        self._last = self._began

    def open(self, selector: selectors.BaseSelector) -> str:
        device = super().open(selector)
        if self._opened:
            self._writer.happened(self._at(), Event.PLUGGED)
        self._opened = True
        return device

    def unplugged(self) -> None:
        self._writer.happened(self._at(), Event.UNPLUGGED)

    def read(self) -> bytes:
        data = super().read()
        if data:
            self._writer.sent(self._at(), Direction.CASHIER, data)
        return data

    def write(self, data: bytes) -> None:
        self._writer.sent(self._at(), Direction.TERMINAL, data)
        super().write(data)

    def settle(self) -> None:
        """Wait until nothing has passed for a while: what the cashier said last is still to be read."""
        while time.monotonic() - self._last < QUIET_S:
            time.sleep(0.01)

    def _at(self) -> float:
        self._last = time.monotonic()
        return self._last - self._began


@dataclass(frozen=True)
class Bench:
    """Where the cashier application finds the terminal, and what the terminal logs."""

    link: Path
    events: queue.Queue[Log]

    def until(self, event: str) -> None:
        """Wait until the terminal has logged it."""
        while self.events.get(timeout=10).event != event:
            pass


@contextlib.contextmanager
def recorded(
    driver: Driver, name: str, notes: tuple[str, ...], framing: Framing, *scenarios: Scenario, payments: int = 1
) -> Iterator[Bench]:
    """A simulated terminal whose line is written to simulated-<driver>-<name>.tlog.

    `payments`: so many a terminal makes that nobody asks (Simulation.payments).
    """
    header = Header(
        protocol=driver.name,
        framing=framing,
        device="tillwatch's simulated terminal on a pty",
        settings=f"{driver.line.baudrate} {driver.line.bytesize}{driver.line.parity}{driver.line.stopbits}",
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        notes=notes,
    )
    settings = Simulation(
        scenarios=scenarios, think_s=0.2, late_s=1.5, reboot_s=0.5, framing=framing, payments=payments
    )
    path = FOLDER / f"simulated-{driver.name}-{name}.tlog"
    with tempfile.TemporaryDirectory() as folder, path.open("w", encoding="utf-8") as stream:
        writer = Writer(stream, header, driver)
        port = TappedPort(Path(folder) / "pos", writer)
        events: queue.Queue[Log] = queue.Queue()

        def report(entry: Log) -> None:
            if entry.event == "rebooted":
                port.unplugged()
            events.put(entry)

        shell = Shell(driver.simulated(settings), port, report)
        thread = threading.Thread(target=shell.run)
        thread.start()
        try:
            bench = Bench(Path(folder) / "pos", events)
            bench.until("ready")
            yield bench
            port.settle()
        finally:
            shell.stop()
            thread.join()
            writer.close()
