"""Makes the recorded logs of Caisse Concert: the simulated terminal on a real pty, pyTeliumManager as cashier.

    python -m tests.logs.make_concert  then: python -m tests.test_logs --accept, and look at the difference

pyTeliumManager talks to real terminals and knows nothing of tillwatch. Where it gives up at once (garbage), the
cashier is a few lines here.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

from telium import Telium, TeliumAsk

from drivers.concert import DRIVER
from drivers.driver import Framing, Scenario
from tests.logs.recorder import Bench, recorded

ENQ, ACK, NAK, EOT = b"\x05", b"\x06", b"\x15", b"\x04"


class Cashier:
    """A cashier application at the pty."""

    def __init__(self, bench: Bench) -> None:
        self._link = str(bench.link)
        self.until = bench.until
        self.peer = Telium(self._link)

    def ask(self, amount: float, kind: str = "0", report: str = "1", answer: str = "A010") -> TeliumAsk:
        """Send a request to its end."""
        request = TeliumAsk("07", report, kind, "1", "EUR", answer, "B010", amount)
        if not self.peer.ask(request):
            raise RuntimeError("the terminal refused the request")
        return request

    def pay(self, amount: float, patience_s: float = 10, **wishes: str) -> None:
        """Send a request and take the answer, if it comes in time."""
        self.peer.verify(self.ask(amount, **wishes), waiting_timeout=patience_s)

    def reopen(self) -> None:
        """The port is there again."""
        self.peer = Telium(self._link)

    def take_answer(self, refusals: int) -> None:
        """Wait for the terminal's ENQ whatever comes before it; refuse the answer so often, then take it."""
        port = self.peer._device
        port.timeout = 10
        port.read_until(ENQ)
        port.write(ACK)
        for reply in [NAK] * refusals + [ACK]:
            port.read_until(b"\x03")
            port.read(1)
            port.write(reply)
        port.read_until(EOT)


def approved(cashier: Cashier) -> None:
    cashier.pay(12.34)


def declined(cashier: Cashier) -> None:
    cashier.pay(50.00)


def short(cashier: Cashier) -> None:
    cashier.pay(7.50, report="0")


def refund(cashier: Cashier) -> None:
    cashier.pay(20.00, kind="1")


def at_once(cashier: Cashier) -> None:
    cashier.pay(15.00, answer="A011")
    cashier.until("charged")


def silent(cashier: Cashier) -> None:
    cashier.pay(9.90, patience_s=1.5)
    cashier.pay(9.90)


def late(cashier: Cashier) -> None:
    cashier.pay(31.00, patience_s=0.5)
    cashier.until("undelivered")


def garbage(cashier: Cashier) -> None:
    cashier.ask(22.22)
    cashier.take_answer(refusals=1)


def undelivered(cashier: Cashier) -> None:
    cashier.ask(44.00)
    cashier.peer._device.timeout = 10
    cashier.peer._device.read_until(ENQ)
    cashier.peer._device.write(ACK)
    cashier.until("undelivered")


def reboot(cashier: Cashier) -> None:
    with contextlib.suppress(OSError):
        cashier.pay(18.00)
    cashier.until("ready")
    cashier.reopen()
    cashier.pay(3.00)


def busy(cashier: Cashier) -> None:
    with contextlib.suppress(OSError):
        cashier.pay(6.00)
    cashier.pay(6.00)


def duplicate(cashier: Cashier) -> None:
    cashier.ask(77.00)
    cashier.until("answer_lost")
    cashier.pay(77.00, kind="3")


CASES: dict[Callable[[Cashier], None], tuple[str, tuple[Scenario, ...]]] = {
    approved: ("a purchase, long answer, delivered", (Scenario.APPROVE,)),
    declined: ("a purchase the bank refused", (Scenario.DECLINE,)),
    short: ("a purchase, answer without report", (Scenario.APPROVE,)),
    refund: ("a credit", (Scenario.APPROVE,)),
    at_once: ("answer at once: result 9, the outcome stays unknown", (Scenario.APPROVE,)),
    silent: ("no answer; the cashier application asks anew and pays", (Scenario.SILENT, Scenario.APPROVE)),
    late: ("charged when the cashier application had given up; three enquiries, end", (Scenario.LATE,)),
    garbage: ("noise, a broken answer refused by NAK, the good answer", (Scenario.GARBAGE,)),
    undelivered: ("the answer is never acknowledged", (Scenario.APPROVE,)),
    reboot: ("the line is lost in mid-payment, then a payment", (Scenario.REBOOT, Scenario.APPROVE)),
    busy: ("an enquiry refused, then a payment", (Scenario.BUSY, Scenario.APPROVE)),
    duplicate: ("the answer is lost; a duplicate finds it", (Scenario.LOST,)),
}


if __name__ == "__main__":
    for case, (notes, scenarios) in CASES.items():
        name = case.__name__.replace("_", "-")
        told = (notes, "cashier: pyTeliumManager 2.4.2 where it can")
        with recorded(DRIVER, name, told, Framing.SERIAL, *scenarios) as bench:
            case(Cashier(bench))
        sys.stdout.write(f"{name}\n")
