"""Makes the recorded logs of ZVT: the simulated terminal on a real pty, a small cash register of our own.

    python -m tests.logs.make_zvt      then: python -m tests.test_logs --accept, and look at the difference

The register knows as little as possible: it sends commands and acknowledges whatever the terminal says.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

import serial

from drivers.driver import Framing, Scenario
from drivers.zvt import DRIVER
from drivers.zvt_framing import apdu, serial_frame
from tests.logs.recorder import Bench, recorded

ACK, NAK = b"\x06", b"\x15"
DONE = (b"\x06\x0f", b"\x06\x1e")
REPEAT_RECEIPT = apdu(b"\x06\x20", bytes(3))
END_OF_DAY = apdu(b"\x06\x50", bytes(3))
STATUS = apdu(b"\x05\x01", bytes(3))
SILENCE_S = 1.0


def authorisation(amount: int) -> bytes:
    return apdu(b"\x06\x01", b"\x04" + bytes.fromhex(f"{amount:012d}") + b"\x49\x09\x78")


def refund(amount: int) -> bytes:
    return apdu(b"\x06\x31", bytes(3) + b"\x04" + bytes.fromhex(f"{amount:012d}") + b"\x49\x09\x78")


class Register:
    """A cash register at the pty."""

    def __init__(self, bench: Bench, framing: Framing) -> None:
        self._link = str(bench.link)
        self._serial = framing is Framing.SERIAL
        self.until = bench.until
        self._port = serial.Serial(self._link, timeout=SILENCE_S)

    def reopen(self) -> None:
        self._port = serial.Serial(self._link, timeout=SILENCE_S)

    def do(self, command: bytes) -> None:
        """Send a command and acknowledge what follows, until the terminal has done, refuses, or falls silent."""
        self._write(command)
        while (message := self._read()) is not None:
            if message[:1] == b"\x84":
                return
            if message[:2] != b"\x80\x00":
                self._write(apdu(b"\x80\x00"))
            if message[:2] in DONE:
                self._drain()
                return

    def _write(self, message: bytes) -> None:
        self._port.write(serial_frame(message) if self._serial else message)

    def _drain(self) -> None:
        """Take the last link acknowledgement."""
        if self._serial:
            self._port.read(1)

    def _read(self) -> bytes | None:
        """The next message, its frame acknowledged; None when nothing comes."""
        return self._read_framed() if self._serial else self._read_bare()

    def _read_framed(self) -> bytes | None:
        while True:
            seen = self._port.read_until(b"\x10\x02")
            if not seen.endswith(b"\x10\x02"):
                return None
            content = b""
            while not content.endswith(b"\x10\x03") or content[:-2].count(b"\x10") % 2:
                byte = self._port.read(1)
                if not byte:
                    break
                content += byte
            message = content[:-2].replace(b"\x10\x10", b"\x10")
            right = serial_frame(message)[-2:] == self._port.read(2)
            self._port.write(ACK if right else NAK)
            if right:
                return message

    def _read_bare(self) -> bytes | None:
        head = self._port.read(3)
        if len(head) < 3:
            return None
        if head[2] == 0xFF:
            head += self._port.read(2)
            return head + self._port.read(int.from_bytes(head[3:5], "little"))
        return head + self._port.read(head[2])


def approved(register: Register) -> None:
    register.do(authorisation(1234))


def declined(register: Register) -> None:
    register.do(authorisation(5000))


def cancelled(register: Register) -> None:
    register.do(authorisation(990))


def refunded(register: Register) -> None:
    register.do(refund(2000))


def silent(register: Register) -> None:
    register.do(authorisation(990))
    register.do(STATUS)


def lost_and_found(register: Register) -> None:
    register.do(authorisation(7700))
    register.do(REPEAT_RECEIPT)


def garbage(register: Register) -> None:
    register.do(authorisation(2222))


def busy(register: Register) -> None:
    register.do(authorisation(600))
    register.do(authorisation(600))


def reboot(register: Register) -> None:
    with contextlib.suppress(OSError):
        register.do(authorisation(1800))
    register.until("ready")
    register.reopen()
    register.do(authorisation(300))


def settlement(register: Register) -> None:
    register.do(authorisation(1234))
    register.do(END_OF_DAY)


Case = Callable[[Register], None]
CASES: dict[tuple[Case, Framing], tuple[str, tuple[Scenario, ...]]] = {
    (approved, Framing.SERIAL): ("a purchase with both receipts", (Scenario.APPROVE,)),
    (approved, Framing.NONE): ("the same without serial frames, as on TCP", (Scenario.APPROVE,)),
    (declined, Framing.SERIAL): ("a purchase the bank refused", (Scenario.DECLINE,)),
    (cancelled, Framing.SERIAL): ("the red key", (Scenario.CANCEL,)),
    (refunded, Framing.SERIAL): ("a refund", (Scenario.APPROVE,)),
    (silent, Framing.SERIAL): ("the terminal falls silent; a status enquiry", (Scenario.SILENT,)),
    (lost_and_found, Framing.SERIAL): ("the answer is lost; the repeated receipt finds it", (Scenario.LOST,)),
    (garbage, Framing.SERIAL): ("noise and a broken frame, then the answer", (Scenario.GARBAGE,)),
    (busy, Framing.SERIAL): ("refused as busy, then a purchase", (Scenario.BUSY, Scenario.APPROVE)),
    (reboot, Framing.SERIAL): ("the line is lost in mid-payment, then a purchase", (Scenario.REBOOT, Scenario.APPROVE)),
    (settlement, Framing.SERIAL): ("a purchase, then the end of the day", (Scenario.APPROVE,)),
}


if __name__ == "__main__":
    for (case, framing), (notes, scenarios) in CASES.items():
        name = case.__name__.replace("_", "-") + ("" if framing is Framing.SERIAL else "-bare")
        with recorded(DRIVER, name, (notes,), framing, *scenarios) as bench:
            case(Register(bench, framing))
        sys.stdout.write(f"{name}\n")
