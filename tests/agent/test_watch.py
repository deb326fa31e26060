"""A message that silence ends: the clock ends it when nothing more comes, and a replay of the line ends it alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.bridge import wire
from agent.events import Draft, EventType
from agent.payments import At, Book, Terms
from agent.watch import QUIET_MARGIN_NS, Seen, Watcher
from drivers.receipt import DRIVER, ReceiptDecoder
from tests.agent.lines import SECOND

SLIPS = Path(__file__).parent.parent / "data" / "receipts"
ALIPAY = (SLIPS / "07_alipay_scan_refund.gbk").read_bytes()
TERMS = Terms("pos1", "receipt", "serial:x", "CNY", 120 * SECOND, SECOND, listens_only=True)
GAP = int(DRIVER.byte_gap_s * SECOND)
BEGIN = 1_000 * SECOND


def watcher(book: Book | None = None) -> Watcher:
    return Watcher(TERMS, ReceiptDecoder, DRIVER.byte_gap_s, book or Book(), silence_ends=True)


def record(number: int, mono_ns: int, data: bytes, kind: int = wire.TERMINAL) -> Seen:
    return Seen(number * 100, 1_790_000_000 * SECOND + mono_ns, mono_ns, kind, data, f"ring:{number}")


def tick(mono_ns: int) -> At:
    return At(1_790_000_000 * SECOND + mono_ns, mono_ns, f"now:{mono_ns}")


def types(drafts: list[Draft]) -> list[EventType]:
    return [draft.type for draft in drafts]


WHOLE = [EventType.TRANSACTION_STARTED, EventType.TRANSACTION_COMPLETED, EventType.RECEIPT_CAPTURED]


def test_the_clock_ends_a_slip_without_a_cut() -> None:
    line = watcher()
    assert line.deadline_mono_ns() is None
    assert line.record(record(1, BEGIN, ALIPAY)) == []
    assert line.resume == 100
    due = line.deadline_mono_ns()
    assert due == BEGIN + GAP + QUIET_MARGIN_NS
    assert line.tick(tick(due - 1)) == []
    assert types(line.tick(tick(due))) == WHOLE
    assert line.resume is None
    assert line.deadline_mono_ns() is None


def test_a_byte_after_the_silence_ends_it_as_the_clock_does() -> None:
    by_clock, by_byte = watcher(), watcher()
    for line in (by_clock, by_byte):
        line.record(record(1, BEGIN, ALIPAY))
    later = BEGIN + 10 * GAP
    ended = by_byte.record(record(2, later, b"\x1b@"))
    assert ended == by_clock.tick(tick(later))
    assert ended[0].wall_ns == 1_790_000_000 * SECOND + BEGIN + GAP


@pytest.mark.parametrize("pause", [GAP - 1, GAP // 2, 1])
def test_a_pause_within_a_slip_ends_nothing(pause: int) -> None:
    line = watcher()
    half = len(ALIPAY) // 2
    assert line.record(record(1, BEGIN, ALIPAY[:half])) == []
    assert line.tick(tick(BEGIN + pause)) == []
    assert line.record(record(2, BEGIN + pause, ALIPAY[half:])) == []
    assert types(line.tick(tick(BEGIN + pause + GAP + QUIET_MARGIN_NS))) == WHOLE


def test_what_both_sides_print_ends_each_by_itself() -> None:
    line = watcher()
    wechat = (SLIPS / "06_wechat_scan.gbk").read_bytes()
    line.record(record(1, BEGIN, ALIPAY))
    line.record(record(2, BEGIN + SECOND, wechat, wire.CASHIER))
    first = line.tick(tick(BEGIN + GAP + QUIET_MARGIN_NS))
    second = line.tick(tick(BEGIN + SECOND + GAP + QUIET_MARGIN_NS))
    assert types(first) == types(second) == WHOLE
    assert first[0].subject != second[0].subject


def test_a_slip_half_read_when_the_agent_died_goes_on() -> None:
    line = watcher()
    half = len(ALIPAY) // 2
    first = record(1, BEGIN, ALIPAY[:half])
    line.record(first)
    reborn = watcher(line.book)
    reborn.rebuild(first)
    assert reborn.resume == line.resume
    rest = record(2, BEGIN + SECOND, ALIPAY[half:])
    assert reborn.record(rest) == line.record(rest) == []
    end = tick(BEGIN + SECOND + GAP + QUIET_MARGIN_NS)
    ended = line.tick(end)
    assert types(ended) == WHOLE
    assert reborn.tick(end) == ended


def test_a_slip_that_silence_had_ended_before_the_agent_died_is_not_told_again() -> None:
    line = watcher()
    first = record(1, BEGIN, ALIPAY)
    line.record(first)
    assert types(line.tick(tick(BEGIN + 2 * GAP))) == WHOLE
    reborn = watcher(line.book)
    reborn.rebuild(first)  # the other side kept the tap's position back
    drafts = reborn.tick(tick(BEGIN + 3 * GAP))
    assert types(drafts) == [EventType.RECEIPT_CAPTURED]
    assert drafts[0].subject is not None


def test_a_cut_line_ends_a_slip_at_once() -> None:
    line = watcher()
    line.record(record(1, BEGIN, ALIPAY))
    down = record(2, BEGIN + 1, b'{"link": "down", "reason": "gone"}', wire.LINK)
    kinds = types(line.record(down))
    assert EventType.TRANSACTION_PENDING in kinds
    assert EventType.TRANSACTION_COMPLETED not in kinds
    assert line.deadline_mono_ns() is not None or line.book.unknown


PIECES = st.sampled_from(
    [
        ALIPAY,
        ALIPAY + b"\x1dV\x00",
        ALIPAY[:200],
        ALIPAY[200:],
        (SLIPS / "06_wechat_scan.escpos").read_bytes(),
        b"\n" * 6,
    ]
)
SAID = st.tuples(st.sampled_from([wire.TERMINAL, wire.CASHIER]), PIECES, st.floats(0.001, 6.0))


@given(said=st.lists(SAID, max_size=8), ticks=st.lists(st.floats(0.0, 30.0), max_size=12))
@settings(deadline=None, max_examples=80)
def test_when_the_clock_is_read_changes_nothing(said: list[tuple[int, bytes, float]], ticks: list[float]) -> None:
    """Events depend on the line alone: with ticks at any moment, or with none but a last one, they are the same."""
    line: list[tuple[int, Seen | None]] = []
    now = BEGIN
    for number, (kind, data, pause) in enumerate(said, 1):
        now += int(pause * SECOND)
        line.append((now, record(number, now, data, kind)))
    often = sorted([*line, *((BEGIN + int(after * SECOND), None) for after in ticks)], key=lambda item: item[0])
    end = tick(now + 100 * SECOND)
    told = []
    for run in (line, often):
        watched = watcher()
        drafts = [draft for at, seen in run for draft in (watched.record(seen) if seen else watched.tick(tick(at)))]
        told.append(drafts + watched.tick(end))
    assert told[0] == told[1]
