"""A line that nobody understands: what is heard of it, and nothing that was not."""

from __future__ import annotations

import json
import time
from functools import reduce
from operator import xor
from pathlib import Path

import pytest

from drivers.observations import Answer, Checksum, Direction, Noise, Observation, Outcome, Progress, Receipt, Request
from drivers.sniffer import MOST_HELD, SnifferDecoder

DATA = Path(__file__).parent.parent / "data"
SLIPS = DATA / "receipts"
WECHAT = (SLIPS / "06_wechat_scan.gbk").read_bytes()
TERMINAL, CASHIER = Direction.TERMINAL, Direction.CASHIER
#: a sale of 128.50 as terminals send it: TPDU, header, 0200, bitmap 3 4 11 41, the fields
SALE = bytes.fromhex("600003000060310031010002003020000000800000000000000000012850000010") + b"88001234"


def frame(body: bytes) -> bytes:
    framed = body + b"\x03"
    return b"\x02" + framed + bytes([reduce(xor, framed)])


def heard(*said: tuple[Direction, bytes], end: bool = True) -> list[Observation]:
    decoder = SnifferDecoder()
    seen = [each for direction, data in said for each in decoder.feed(direction, data)]
    return seen + (decoder.finish() if end else [])


def messages(seen: list[Observation]) -> list[str]:
    return [each.message for each in seen if isinstance(each, Progress)]


def test_an_exchange_of_control_bytes_and_a_frame() -> None:
    seen = heard(
        (CASHIER, b"\x05"), (TERMINAL, b"\x06"), (CASHIER, frame(b"pay 12.50")), (TERMINAL, b"\x06"), (CASHIER, b"\x04")
    )
    assert messages(seen) == ["ENQ", "ACK", "frame STX … ETX", "ACK", "EOT"]
    assert [each.direction for each in seen] == [CASHIER, TERMINAL, CASHIER, TERMINAL, CASHIER]
    assert seen[2].checksum is Checksum.OK
    assert dict(seen[2].facts.extra) == {"length": 9, "check": "xor to ETX"}
    assert "12.50" not in repr(seen)


@pytest.mark.parametrize(("covers", "kind"), [(b"\x02ab\x03", "xor from STX to ETX"), (b"ab", "xor to text")])
def test_how_the_check_is_made(covers: bytes, kind: str) -> None:
    (seen,) = heard((TERMINAL, b"\x02ab\x03" + bytes([reduce(xor, covers)])))
    assert dict(seen.facts.extra)["check"] == kind


def test_a_frame_whose_content_has_an_etx_in_it() -> None:
    (seen,) = heard((TERMINAL, frame(b"\x00\x03\x99binary")))
    assert dict(seen.facts.extra)["length"] == 9


@pytest.mark.parametrize("laid", [SALE, len(SALE).to_bytes(2, "big") + SALE, frame(b"\x00\x33" + SALE)])
def test_of_an_iso_8583_message_type_trace_and_amount(laid: bytes) -> None:
    found = [each for each in heard((TERMINAL, laid)) if each.facts.trace]
    assert messages(found) == ["ISO 8583 0200"]
    assert (found[0].facts.trace, found[0].facts.amount, found[0].facts.terminal_id) == ("000010", 12850, None)


@pytest.mark.parametrize("name", ["06_wechat_scan.gbk", "06_wechat_scan.escpos", "01_sale_bilingual_unionpay.escpos"])
def test_a_receipt_among_what_nobody_understands(name: str) -> None:
    slip = (SLIPS / name).read_bytes()
    junk = b"\x90\x07junk\xff\xfe\n"
    seen = heard((CASHIER, b"\x05"), (TERMINAL, b"\x06" + junk + slip + b"\x1dV\x00"))
    (receipt,) = [each for each in seen if isinstance(each, Receipt)]
    assert receipt.slip is not None
    assert receipt.slip.outcome is Outcome.APPROVED
    assert receipt.facts.amount is not None
    assert "junk" not in "".join(receipt.text)
    assert not [each for each in seen if isinstance(each, Noise | Answer | Request)]


def test_a_receipt_in_a_frame() -> None:
    seen = heard((TERMINAL, frame(b"P1\x1c" + WECHAT)))
    assert [type(each) for each in seen] == [Progress, Receipt]
    assert seen[1].facts.channel_order == "4200002188202406071234567890"


def test_what_is_nothing_is_counted() -> None:
    assert heard((TERMINAL, b"\x90\x91hello")) == [Noise(direction=TERMINAL, length=7, reason="no framing known")]


def test_a_frame_that_never_closes_is_heard_as_text_and_the_next_good_one_as_a_frame() -> None:
    seen = heard((TERMINAL, b"\x02" + WECHAT), end=False)
    assert seen == []
    decoder = SnifferDecoder()
    assert decoder.feed(TERMINAL, b"\x02" + WECHAT) == []
    assert [type(each) for each in decoder.silence(TERMINAL)] == [Receipt]
    assert messages(decoder.feed(TERMINAL, frame(b"good"))) == ["frame STX … ETX"]
    assert decoder.idle


def test_no_outcome_comes_from_frames() -> None:
    frames = [bytes.fromhex(case["hex"]) for case in _frames()]
    seen = heard(*((TERMINAL, each) for each in frames))
    assert len(frames) > 10
    assert not [each for each in seen if isinstance(each, Request | Answer)]


def _frames() -> list[dict[str, str]]:
    found: list[dict[str, str]] = []

    def walk(node: object) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("hex"), str):
                found.append({"hex": node["hex"].replace(" ", "")})
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    for name in ("cn_frames.json", "zvt_frames.json", "concert_frames.json"):
        walk(json.loads((DATA / name).read_text(encoding="utf-8")))
    return found


@pytest.mark.parametrize(
    "unit", [b"\x02", b"\x02\x03", b"\x03\x02", b"\x02a", b"\x60" * 3, b"\x06a", SALE[:13], b"\x1b\x02"]
)
def test_hostile_input_costs_linear_time(unit: bytes) -> None:
    def cost(size: int) -> float:
        data = unit * (size // len(unit))
        best = float("inf")
        for _ in range(3):
            start = time.process_time()
            heard((TERMINAL, data))
            best = min(best, time.process_time() - start)
        return best

    # Four times the bytes; quadratic cost would be sixteen times the time.
    assert cost(24_000) < 10 * cost(6_000) + 0.05


def test_little_is_held() -> None:
    decoder = SnifferDecoder()
    decoder.feed(TERMINAL, b"\x02" + b"\x03" * (3 * MOST_HELD))
    ear = decoder._ears[TERMINAL]
    assert len(ear._frame) + len(ear._loose) <= 2 * MOST_HELD
