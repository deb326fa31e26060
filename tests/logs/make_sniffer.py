"""Makes the logs of the sniffer: lines put together here, because a line that nobody understands can't be recorded.

    python -m tests.logs.make_sniffer  then: python -m tests.test_logs --accept, and look at the difference

Nobody knows where on such a line a card number stands, so there is no masker for it; what these logs hold was written
for them.
"""

from __future__ import annotations

import sys
from functools import reduce
from operator import xor
from pathlib import Path

from agent.tlog import END, Header, header_lines
from drivers.driver import Framing

FOLDER = Path(__file__).parent
SLIPS = FOLDER.parent / "data" / "receipts"
SALE = bytes.fromhex("600003000060310031010002003020000000800000000000000000012850000010") + b"88001234"


def frame(body: bytes) -> bytes:
    framed = body + b"\x03"
    return b"\x02" + framed + bytes([reduce(xor, framed)])


def slip(name: str) -> bytes:
    return (SLIPS / name).read_bytes()


#: seconds after the one before, who, what
Said = tuple[float, str, bytes]
CASES: dict[str, tuple[str, tuple[Said, ...]]] = {
    "exchange": (
        "an unknown exchange of frames, then the slip on the same line",
        (
            (0.0, ">", b"\x05"),
            (0.1, "<", b"\x06"),
            (0.1, ">", frame(b"00|12850|")),
            (0.1, "<", b"\x06"),
            (4.0, "<", frame(b"00|OK|")),
            (0.1, ">", b"\x06"),
            (0.1, ">", b"\x04"),
            (1.0, "<", slip("01_sale_bilingual_unionpay.escpos")),
        ),
    ),
    "iso8583": (
        "a host's message without a frame, one within one, and bytes that are nothing",
        ((0.0, "<", len(SALE).to_bytes(2, "big") + SALE), (5.0, "<", frame(SALE)), (5.0, "<", b"\x90\x91nothing")),
    ),
    "no-cut": (
        "two slips without a cut, the second ended by silence",
        ((0.0, "<", slip("06_wechat_scan.gbk")), (0.5, "<", slip("07_alipay_scan_refund.gbk")), (9.0, "<", b"\x06")),
    ),
}

if __name__ == "__main__":
    for name, (notes, said) in CASES.items():
        header = Header(protocol="sniffer", framing=Framing.NONE, device="put together by hand", notes=(notes,))
        lines = header_lines(header)
        at = 0.0
        for after, sign, data in said:
            at += after
            lines.append(f"+{at:.6f} {sign} {data.hex(' ').upper()}")
        (FOLDER / f"assembled-sniffer-{name}.tlog").write_text("\n".join([*lines, "", END]) + "\n", encoding="utf-8")
        sys.stdout.write(f"{name}\n")
