"""Makes the recorded logs of printed receipts: the simulated printing terminal on a real pty, read by a tap.

python -m tests.logs.make_receipt  then: python -m tests.test_logs --accept, and look at the difference
"""

from __future__ import annotations

import sys

import serial

from drivers.driver import Framing, Scenario
from drivers.receipt import DRIVER
from tests.logs.recorder import recorded

CASES: dict[str, tuple[str, int, tuple[Scenario, ...]]] = {
    "approved": ("card, WeChat, Alipay, an Alipay refund; both copies of each", 4, (Scenario.APPROVE,)),
    "failed": ("a slip of a refusal, one of the red key", 2, (Scenario.DECLINE, Scenario.CANCEL)),
    "alarm": ("the alarm of a reversal that failed", 1, (Scenario.UNSURE,)),
    "reprint": ("the slip was lost; a reprint comes later", 1, (Scenario.LOST,)),
    "settlement": ("eight payments, then the end of the day", 8, (Scenario.APPROVE,)),
}

if __name__ == "__main__":
    for name, (notes, payments, scenarios) in CASES.items():
        with (
            recorded(DRIVER, name, (notes,), Framing.NONE, *scenarios, payments=payments) as bench,
            serial.Serial(str(bench.link), timeout=1.0) as tap,
        ):
            while tap.read(4096):
                pass
        sys.stdout.write(f"{name}\n")
