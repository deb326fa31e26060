"""UnionPay's ISO 8583 on a line: every known frame, who asks and who answers, what never comes out, recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from drivers.cards import luhn_valid
from drivers.cup8583 import DRIVER
from drivers.driver import Framing
from drivers.framing_length import serial_frame, tcp_frame
from drivers.masking import LeftOut
from drivers.observations import (
    Ack,
    Answer,
    Checksum,
    Direction,
    Kind,
    Noise,
    Observation,
    Outcome,
    Progress,
    Request,
    Reversal,
    Settlement,
    Total,
    as_dict,
)
from tests.drivers.cup8583_peer import encoded
from tests.drivers.test_iso8583 import MESSAGES, hidden

CASES: list[dict[str, Any]] = [
    case
    for case in json.loads((Path(__file__).parents[1] / "data" / "cn_frames.json").read_text(encoding="utf-8"))["cases"]
    if case["protocol"].startswith("cup8583/")
]
BY_ID = {case["id"]: case for case in CASES}
H = "6000030000603100310100"
OWN = {"11": "000010", "41": "88001234", "42": "898111180620001"}
SALE = {
    "h": H,
    "t": "0200",
    "2": "6200000000000005",
    "3": "000000",
    "4": "000000012850",
    "22": "021",
    "25": "00",
    **OWN,
}

BLANKED = ("14", "35", "36", "52", "53", "54", "55", "58", "62")

#: the data's own names → ours
FACTS = {
    "stan": "trace",
    "rrn": "reference",
    "auth": "approval_code",
    "amount_fen": "amount",
    "resp": "response_code",
    "tid": "terminal_id",
    "mid": "merchant_id",
    "batch": "batch",
    "mti": "mti",
    "proc_code": "proc_code",
    "f60_type": "f60_type",
    "f60_net": "f60_net",
    "orig_stan": "original_trace",
    "settle_flag": "settle_flag",
    "kind": "message",
}
OUTCOMES = {"final_approved": "approved", "final_declined": "declined", "outcome_unknown": "unknown"}


def decode(
    data: bytes, direction: Direction = Direction.TERMINAL, framing: Framing = Framing.AUTO
) -> list[Observation]:
    decoder = DRIVER.decoder(framing)
    seen = decoder.feed(direction, data)
    assert decoder.idle
    return seen + decoder.finish()


def of(case: str) -> list[Observation]:
    return decode(bytes.fromhex(BY_ID[case]["hex"]))


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["id"]))
@pytest.mark.parametrize("framing", list(Framing))
def test_every_known_frame_is_what_it_should_be(case: dict[str, Any], framing: Framing) -> None:
    *before, last = decode(bytes.fromhex(case["hex"]), framing=framing)
    expected = case["expect"]
    if expected.get("error") == "lrc":
        assert isinstance(last, Noise)
        assert (before, last.checksum, last.reason) == ([], Checksum.BAD, "bad LRC")
        return
    shown = as_dict(last)
    fields = shown["fields"]
    assert isinstance(fields, dict)
    assert shown["checksum"] == ("ok" if case["protocol"].endswith("nac") else "none")
    for name, ours in FACTS.items():
        if name in expected:
            assert fields[ours] == expected[name], name
    if "pan_masked" in expected:
        assert fields["card"]["masked"] == expected["pan_masked"]
    if "time" in expected:
        day, time = expected["date"], expected["time"]
        assert fields["terminal_time"] == f"{day[:2]}-{day[2:]} {time[:2]}:{time[2:4]}:{time[4:]}"
    if expected["outcome"] == "request":
        assert isinstance(last, Request)
    else:
        assert isinstance(last, Answer)
        assert last.outcome == OUTCOMES[expected["outcome"]]
        assert last.final
    assert "not_understood_from_field" not in fields


@pytest.mark.parametrize("direction", list(Direction))
def test_who_asks_is_told_by_the_message_not_by_the_side(direction: Direction) -> None:
    (asked,) = decode(bytes.fromhex(BY_ID["cup-void-ok-req"]["hex"]), direction)
    (answered,) = decode(bytes.fromhex(BY_ID["cup-sale-51-resp"]["hex"]), direction)
    assert isinstance(asked, Request)
    assert isinstance(answered, Answer)
    assert asked.direction is answered.direction is direction


@pytest.mark.parametrize(
    ("mti", "f3", "f25", "f60", "kind", "message"),
    [
        ("0200", "000000", "00", "22", Kind.PURCHASE, "sale"),
        ("0200", "200000", "00", "23", Kind.VOID, "void"),
        ("0200", "000000", "06", "20", Kind.COMPLETION, "preauth_completion"),
        ("0200", "200000", "06", "21", Kind.VOID, "preauth_completion_void"),
        ("0100", "030000", "06", "10", Kind.PREAUTHORISATION, "preauth"),
        ("0100", "200000", "06", "11", Kind.VOID, "preauth_void"),
        ("0220", "200000", "00", "25", Kind.REFUND, "refund"),
        ("0220", "000000", "06", "24", Kind.COMPLETION, "preauth_completion_advice"),
        ("0200", "310000", "00", "01", Kind.BALANCE, "balance"),
        ("0200", "000000", "00", "54", Kind.PURCHASE, "sale"),  # a vendor's own: paid by code
        ("0220", "200000", "00", "", Kind.REFUND, "refund"),
        ("0200", "990000", "00", "99", Kind.OTHER, "0200 990000"),
    ],
)
def test_kinds(mti: str, f3: str, f25: str, f60: str, kind: Kind, message: str) -> None:
    fields = {**SALE, "t": mti, "3": f3, "25": f25} | ({"60": f"{f60}000123000"} if f60 else {})
    (seen,) = decode(serial_frame(encoded(fields)))
    assert isinstance(seen, Request)
    assert (seen.kind, seen.message, seen.reverses) == (kind, message, None)


@pytest.mark.parametrize(
    ("net", "mti", "message"),
    [
        ("001", "0800", "sign_in"),
        ("004", "0810", "sign_in"),
        ("002", "0820", "sign_off"),
        ("301", "0830", "echo_test"),
        ("360", "0800", "download"),
    ],
)
def test_what_moves_no_money_opens_no_transaction(net: str, mti: str, message: str) -> None:
    (seen,) = decode(serial_frame(encoded({"h": H, "t": mti, **OWN, "60": f"00000123{net}"})))
    assert isinstance(seen, Request | Answer)
    assert seen.message == message
    assert not isinstance(seen, Request) or seen.kind is None


@pytest.mark.parametrize(
    ("code", "cause"), [("98", Reversal.NO_ANSWER), ("A0", Reversal.BAD_ANSWER), ("06", Reversal.OTHER)]
)
def test_a_reversal_says_why_and_of_what(code: str, cause: Reversal) -> None:
    (seen,) = decode(serial_frame(encoded({**SALE, "t": "0400", "39": code, "60": "22000123000"})))
    assert isinstance(seen, Request)
    assert (seen.kind, seen.reverses) == (None, cause)
    assert (seen.facts.trace, seen.facts.batch, seen.facts.amount) == ("000010", "000123", 12850)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("00", Outcome.REVERSED),
        ("12", Outcome.NOT_EXECUTED),
        ("22", Outcome.NOT_EXECUTED),
        ("25", Outcome.NOT_EXECUTED),
        ("98", Outcome.UNKNOWN),
        ("96", Outcome.UNKNOWN),
        ("", Outcome.UNKNOWN),
    ],
)
def test_what_the_host_says_to_a_reversal(code: str, outcome: Outcome) -> None:
    fields = {"h": H, "t": "0410", **OWN, "4": "000000012850"} | ({"39": code} if code else {})
    (seen,) = decode(serial_frame(encoded(fields)))
    assert isinstance(seen, Answer)
    assert (seen.outcome, seen.reverses, seen.final) == (outcome, True, True)


@pytest.mark.parametrize("code", ["06", "09", "68", "94", "96", "98", "A0", "24", "Q7"])
def test_a_code_that_does_not_say_what_happened_leaves_it_unknown(code: str) -> None:
    (seen,) = decode(serial_frame(encoded({"h": H, "t": "0210", **OWN, "39": code})))
    assert isinstance(seen, Answer)
    assert seen.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("code", ["00", "10", "11", "A2", "A4", "A5", "A6"])
def test_defective_and_partial_successes_are_approvals(code: str) -> None:
    (seen,) = decode(serial_frame(encoded({"h": H, "t": "0210", **OWN, "39": code})))
    assert isinstance(seen, Answer)
    assert seen.outcome is Outcome.APPROVED


@pytest.mark.parametrize(("case", "balanced"), [("cup-settle-bal-resp", True), ("cup-settle-unbal-resp", False)])
def test_a_settlement_tells_totals_and_verdict(case: str, balanced: bool) -> None:
    settlement, answer = of(case)
    assert isinstance(settlement, Settlement)
    assert settlement.balanced is balanced
    assert settlement.totals == (
        Total("debit", 12, 1234500, Kind.PURCHASE),
        Total("credit", 1, 12850, Kind.REFUND),
    )
    assert sum(total.net for total in settlement.totals) == 1234500 - 12850
    assert isinstance(answer, Answer)


def test_foreign_cards_have_totals_of_their_own() -> None:
    part = "000000001000" + "001" + "000000000000" + "000"
    fields = {"h": H, "t": "0510", **OWN, "39": "00", "48": part + "1" + part + "3"}
    settlement, _ = decode(serial_frame(encoded(fields)))
    assert isinstance(settlement, Settlement)
    assert [total.name for total in settlement.totals] == ["debit", "credit", "foreign debit", "foreign credit"]
    assert settlement.balanced is None  # the host could not tell for one of them


def test_batch_details_hold_card_numbers_and_stay_in_the_frame() -> None:
    pan = "6222021234567890128"
    detail = "01" + "00" + "000010" + f"{pan:0>20}" + "000000012850"
    (seen,) = decode(serial_frame(encoded({"h": H, "t": "0320", **OWN, "48": detail, "60": "00000123201"})))
    assert isinstance(seen, Request)
    assert (seen.message, seen.kind) == ("batch_upload", None)
    assert pan not in repr(seen)


def test_control_bytes_acknowledge_frames_not_payments() -> None:
    asked, taken, refused = decode(b"\x05\x06\x15")
    assert isinstance(asked, Progress)
    assert isinstance(taken, Ack)
    assert isinstance(refused, Ack)
    assert (taken.positive, refused.positive, str(taken.of)) == (True, False, "other")


def test_a_message_with_a_vendors_field_is_understood_up_to_there() -> None:
    fields = {**SALE, "t": "0210", "39": "00", "60": "22000123000"}
    data = bytearray(encoded(fields))
    place = data.index(bytes.fromhex("0011" + "22000123000" + "0"))
    data[place : place + 2] = b"\x0f\xff"  # a length that is none
    (seen,) = decode(serial_frame(bytes(data)))
    assert isinstance(seen, Answer)
    assert seen.outcome is Outcome.APPROVED
    assert ("not_understood_from_field", 60) in seen.facts.extra


def test_a_message_that_breaks_off_before_it_says_what_happened_is_noise() -> None:
    data = encoded(SALE)
    (seen,) = decode(serial_frame(data[:40]))
    assert isinstance(seen, Noise)
    assert (seen.checksum, seen.reason) == (Checksum.OK, "unknown layout")


# --- recordings -------------------------------------------------------------------------------------------------------


def recorded(data: bytes, framing: Framing = Framing.AUTO) -> bytes:
    assert DRIVER.masker is not None
    masker = DRIVER.masker(framing)
    pieces = [*masker.feed(Direction.TERMINAL, data), *masker.silence(Direction.TERMINAL)]
    return b"".join(bytes(piece.length) if isinstance(piece, LeftOut) else piece for piece in pieces)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["id"]))
def test_a_recording_decodes_to_the_same(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    masked = recorded(data)
    assert len(masked) == len(data)
    assert decode(masked) == decode(data)
    assert recorded(masked) == masked


@given(fields=MESSAGES, wrap=st.sampled_from([serial_frame, tcp_frame]))
@settings(deadline=None, max_examples=200)
def test_a_recording_of_anything_decodes_to_the_same_without_the_secrets(fields: dict[str, str], wrap: Any) -> None:
    assume(len(set(fields.get("2", "62"))) > 1)  # a run of one digit is a filler, no card number
    data = wrap(encoded({**OWN, **fields}))
    masked = recorded(data)
    assert len(masked) == len(data)
    assert decode(masked) == decode(data)
    # Nothing of a secret is left when another secret would leave the same bytes.
    others = {n: hidden(int(n), v) if n in BLANKED else v for n, v in fields.items()}
    if pan := fields.get("2"):
        others["2"] = pan[:6] + "7" * (len(pan) - 10) + pan[-4:]
    assert recorded(wrap(encoded({**OWN, **others}))) == masked


@pytest.mark.parametrize("length", [13, 14, 15, 16, 17, 18, 19])
def test_of_a_card_number_six_and_four_digits_stay(length: int) -> None:
    pan = next(str(number) for number in range(622202 * 10 ** (length - 6) + 1234, 10**20) if luhn_valid(str(number)))
    data = serial_frame(encoded({**SALE, "2": pan}))
    masked = recorded(data)
    for shown in (decode(data), decode(masked)):
        assert shown[0].facts.card is not None
        assert shown[0].facts.card.masked == pan[:6] + "*" * (length - 10) + pan[-4:]
    assert pan not in masked.hex()


def test_a_broken_frame_keeps_its_length_and_its_wrong_lrc_and_nothing_else() -> None:
    data = bytes.fromhex(BY_ID["cup-bad-lrc"]["hex"])
    masked = recorded(data)
    assert decode(masked) == decode(data)
    assert "6200000000000005" not in masked.hex()


# --- anything ---------------------------------------------------------------------------------------------------------


@given(
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=30),
            MESSAGES.map(lambda fields: serial_frame(encoded(fields))),
            MESSAGES.map(lambda fields: encoded(fields)[:90]),
        ),
        max_size=5,
    ),
    hurt=st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 255)), max_size=3),
)
@settings(deadline=None, max_examples=200)
def test_hurt_lines_raise_nothing_and_the_next_good_frame_but_one_is_read(
    pieces: list[bytes], hurt: list[tuple[int, int]]
) -> None:
    line = bytearray(b"".join(pieces))
    for place, change in hurt:
        if line:
            line[place % len(line)] ^= change
    good = serial_frame(encoded({**SALE, "60": "22000123000"}))
    for framing in Framing:
        seen = decode(bytes(line) + good + good, framing=framing)
        assert isinstance(seen[-1], Request)
        assert seen[-1].facts.trace == "000010"
