"""What passed on a line: counted the same whatever the chunks, and only of late."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.bridge import wire
from agent.diag.garble import Parity
from agent.diag.traffic import Listener, Traffic
from agent.tap import Record
from drivers.concert import ConcertDecoder
from tests.agent.diag.copper import with_parity
from tests.agent.lines import SECOND
from tests.agent.test_engine import payment, tape

T0 = 1_790_000_000 * SECOND


def heard(records: list[Record], since_ns: int = 0) -> Traffic:
    listener = Listener("pos1", ConcertDecoder, 2.0, {"concert": ConcertDecoder}, since_ns)
    for record in records:
        listener.record(record)
    return listener.traffic()


def test_a_payment_that_passed() -> None:
    seen = heard(tape(payment(1234)))
    assert (seen.terminal.whole, seen.terminal.broken, seen.cashier.whole, seen.requests) == (1, 0, 1, 1)
    assert seen.detected == "concert"
    assert min(seen.answer_s) > 0


def test_what_was_long_ago_and_what_is_of_another_line_does_not_count() -> None:
    records = tape(payment(1234))
    assert heard(records, since_ns=records[-1].wall_ns + 1).terminal.bytes == 0
    assert heard(tape(payment(1234), line="pos2")).terminal.bytes == 0


def test_broken_frames_and_refusals() -> None:
    hurt = payment(1234)
    hurt[7] = (wire.TERMINAL, bytes([*hurt[7][1][:9], hurt[7][1][9] ^ 4, *hurt[7][1][10:]]))
    hurt[8] = (wire.CASHIER, b"\x15")
    seen = heard(tape(hurt))
    assert (seen.terminal.whole, seen.terminal.broken, seen.cashier.refused) == (0, 1, 1)


def test_a_frame_that_is_said_again_before_the_other_side_says_any() -> None:
    answered = payment(1234)
    again = [*answered[:8], answered[7], answered[7], *answered[8:]]
    assert heard(tape(answered)).terminal.repeated == 0
    seen = heard(tape(again))
    assert (seen.terminal.whole, seen.terminal.repeated, seen.cashier.repeated) == (3, 2, 0)
    assert heard(tape([*answered, *answered])).terminal.repeated == 0, "another payment of the same amount"


def test_parity_in_bit_7() -> None:
    odd = [(kind, with_parity(data, True) if kind == wire.TERMINAL else data) for kind, data in payment(1234)]
    seen = heard(tape(odd))
    assert seen.terminal.parity is Parity.ODD
    assert seen.terminal.whole_stripped > seen.terminal.whole


def test_losses_of_the_device_and_of_bytes() -> None:
    down = json.dumps({"link": "down", "reason": "gone"}).encode()
    up = json.dumps({"link": "up", "reason": None}).encode()
    dropped = json.dumps({"bytes": 7}).encode()
    passed = [(wire.LINK, up), (wire.LINK, down), (wire.DROPPED, dropped), (wire.LINK, up), (wire.LINK, down)]
    seen = heard(tape(passed, step_ns=SECOND))
    assert [(loss.reason, loss.seconds) for loss in seen.losses] == [("gone", 2.0), ("gone", None)]
    assert seen.dropped == 7


@settings(max_examples=40)
@given(st.integers(1, 40), st.binary(max_size=60))
def test_the_chunks_make_no_difference(size: int, rubbish: bytes) -> None:
    passed = [*payment(1234), (wire.TERMINAL, rubbish), *payment(99)]
    cut = [(kind, data[place : place + size]) for kind, data in passed for place in range(0, max(1, len(data)), size)]
    whole, pieces = heard(tape(passed, step_ns=1000)), heard(tape(cut, step_ns=1000))
    assert (whole.terminal, whole.cashier, whole.requests) == (pieces.terminal, pieces.cashier, pieces.requests)
