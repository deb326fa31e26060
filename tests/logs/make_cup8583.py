"""Makes the recorded logs of UnionPay's ISO 8583: the simulated terminal on a real pty, a simulated host behind it.

    python -m tests.logs.make_cup8583  then: python -m tests.test_logs --accept, and look at the difference

Between the two is what stands on a cashier PC: something that carries messages from the terminal to its host and back.
An ENQ begins the terminal's next transaction, as a person at its keys would.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterable
from dataclasses import replace

from drivers.cup8583 import DRIVER
from drivers.driver import Action, Driver, Framing, Scenario, Send, SimulatedTerminal, Simulation
from drivers.simulated.cup8583 import SimulatedCup8583
from drivers.simulated.cup8583_host import SimulatedHost
from tests.logs.recorder import Bench, recorded

ENQ = b"\x05"
ENDS = ("charged", "declined", "cancelled", "silent", "busy")


class Carrier:
    """Carries messages between the terminal's pty and the host."""

    def __init__(self, bench: Bench, host: SimulatedHost) -> None:
        self._bench = bench
        self._host = host
        self._stopped = threading.Event()
        self._open()
        self._thread = threading.Thread(target=self._carry)

    def __enter__(self) -> Carrier:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        os.close(self._fd)

    def pay(self) -> None:
        """Begin the terminal's next transaction, and wait until it has ended for the terminal."""
        os.write(self._fd, ENQ)
        while self._bench.events.get(timeout=20).event not in ENDS:
            pass

    def rest(self) -> None:
        """Wait until the host has said all that it will say."""
        while self._host.deadline() is not None:
            time.sleep(0.01)

    def reopen(self) -> None:
        """The terminal is there again."""
        self._bench.until("ready")
        self._stopped.set()
        self._thread.join()
        os.close(self._fd)
        self._stopped.clear()
        self._open()
        self._thread = threading.Thread(target=self._carry)
        self._thread.start()

    def _open(self) -> None:
        self._fd = os.open(self._bench.link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self._fd)

    def _carry(self) -> None:
        while not self._stopped.is_set():
            readable, _, _ = select.select([self._fd], [], [], 0.02)
            try:
                data = os.read(self._fd, 4096) if readable else b""
            except OSError:
                return  # the terminal is away
            self._do(self._host.receive(data, time.monotonic()))
            self._do(self._host.tick(time.monotonic()))

    def _do(self, actions: Iterable[Action]) -> None:
        for action in actions:
            if isinstance(action, Send):
                os.write(self._fd, action.data)


def once(carrier: Carrier) -> None:
    carrier.pay()


def twice(carrier: Carrier) -> None:
    carrier.pay()
    carrier.pay()


def after_the_late_answer(carrier: Carrier) -> None:
    carrier.pay()
    carrier.rest()
    carrier.pay()


def thrice(carrier: Carrier) -> None:
    twice(carrier)
    carrier.pay()


def across_a_restart(carrier: Carrier) -> None:
    carrier.pay()
    carrier.reopen()
    carrier.pay()


Case = tuple[str, Callable[[Carrier], None], tuple[str, ...], Framing, tuple[Scenario, ...]]
S, A = Framing.SERIAL, Scenario.APPROVE
SALE = ("sale",)

CASES: dict[str, Case] = {
    "approved": ("a sale", once, SALE, S, (A,)),
    "approved-tcp": ("a sale, messages behind a binary length", once, SALE, Framing.NONE, (A,)),
    "declined": ("a sale without the funds", once, SALE, S, (Scenario.DECLINE,)),
    "unsure": ("the switch got no answer from the bank: 98", once, SALE, S, (Scenario.UNSURE,)),
    "busy-then-cancelled": (
        "the terminal refuses, then the patient does",
        twice,
        SALE,
        S,
        (Scenario.BUSY, Scenario.CANCEL),
    ),
    "slow": ("the bank takes its time", once, SALE, S, (Scenario.SLOW,)),
    "silent": ("no answer, nobody charged; before the next sale a reversal: 25", twice, SALE, S, (Scenario.SILENT, A)),
    "lost": ("charged, the answer is lost; before the next sale a reversal: 00", twice, SALE, S, (Scenario.LOST, A)),
    "late": (
        "the answer comes when the terminal has given up; it is undone",
        after_the_late_answer,
        SALE,
        S,
        (Scenario.LATE, A),
    ),
    "garbage": ("noise, a broken answer refused by NAK, the good answer", once, SALE, S, (Scenario.GARBAGE,)),
    "broken": ("every answer arrives broken; a reversal before the next sale", twice, SALE, S, (Scenario.BROKEN, A)),
    "reboot": (
        "the line is lost in mid-payment; a reversal afterwards",
        across_a_restart,
        SALE,
        S,
        (Scenario.REBOOT, A),
    ),
    "void": ("a sale and its void", twice, ("sale", "void"), S, (A,)),
    "refund": ("a sale and a refund of it", twice, ("sale", "refund"), S, (A,)),
    "preauthorised": ("a deposit, taken", twice, ("preauth", "completion"), S, (A,)),
    "day": ("sign-in, sale, settlement that balances", thrice, ("sign_in", "sale", "settlement"), S, (A,)),
    "day-of-doubt": (
        "a sale whose answer is lost, settlement without it; the reversal goes first",
        twice,
        ("sale", "settlement"),
        S,
        (Scenario.LOST, A),
    ),
    "others": ("balance, echo test, batch upload", thrice, ("balance", "echo", "batch_upload"), S, (A,)),
}


def driver_with(program: tuple[str, ...]) -> Driver:
    def simulated(settings: Simulation) -> SimulatedTerminal:
        return SimulatedCup8583(replace(settings, currency="CNY"), program)

    return replace(DRIVER, simulated=simulated)


def settings_of(framing: Framing, scenarios: tuple[Scenario, ...]) -> Simulation:
    return Simulation(
        scenarios=scenarios, think_s=0.2, slow_s=0.6, late_s=1.5, reboot_s=0.5, framing=framing, currency="CNY"
    )


if __name__ == "__main__":
    for name, (notes, act, program, framing, scenarios) in CASES.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        told = (notes, "host: tillwatch's simulated one")
        with recorded(driver_with(program), name, told, framing, *scenarios) as bench:
            host = SimulatedHost(settings_of(framing, scenarios))
            with Carrier(bench, host) as carrier:
                act(carrier)
        sys.stdout.write(f"{name}\n")
