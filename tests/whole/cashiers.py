"""pyTeliumManager as the cashier application: a program that nobody here wrote, which pays real terminals in shops."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import serial
from telium import Telium, TeliumAsk, TeliumNativeSerial, TeliumResponse

from agent.demo.cashier import Manner, NoAnswer, pay_zvt
from drivers.driver import Framing
from tests.drivers.zvt_peer import ABORT, COMPLETION, ZvtPeer, authorisation


def pay(
    port: Path, amount: float, patience_s: float = 15, native: bool = False, **options: object
) -> TeliumResponse | None:
    """Pay through a port; None when no answer came. `native`: open it as 7E1, as for native serial terminals."""
    telium = TeliumNativeSerial(str(port), timeout=3) if native else Telium(str(port), timeout=3)
    try:
        ask = TeliumAsk.new_payment(amount, target_currency="EUR", **options)
        assert telium.ask(ask)
        return telium.verify(ask, waiting_timeout=patience_s)
    finally:
        telium.close()


def pay_zvt_serial(port: Path, amount: int, patience_s: float = 10) -> bool:
    """Pay over ZVT on a serial line, with the tests' own ECR; True when the terminal ended the command in time."""
    peer = ZvtPeer(Framing.SERIAL)
    deadline = time.monotonic() + patience_s
    with serial.Serial(str(port), 9600, stopbits=2, timeout=0.05) as line:
        line.write(peer.command(authorisation(amount)))
        while time.monotonic() < deadline:
            line.write(peer.receive(line.read(max(1, line.in_waiting))))
            if {COMPLETION, ABORT} & set(peer.controls()):
                return True
    return False


def pay_zvt_tcp(address: str, amount: int, patience_s: float = 10) -> str | None:
    """Pay over ZVT on TCP; the result code, or None when no answer came in time. `address`: HOST:PORT."""
    host, _, port = address.rpartition(":")
    with contextlib.suppress(NoAnswer):
        return pay_zvt((host, int(port)), amount, Manner.PROPER, patience_s)
    return None
