"""The Concert decoder against the published frames, and the rules of its exchange."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drivers import codes
from drivers.concert import DRIVER, KINDS, RESULTS, ConcertDecoder
from drivers.driver import Framing
from drivers.framing_lrc import frame
from drivers.masking import LeftOut
from drivers.observations import (
    Ack,
    Acked,
    Answer,
    Checksum,
    Direction,
    Kind,
    Noise,
    Observation,
    Outcome,
    Phase,
    Progress,
    Request,
    as_dict,
)

CASHIER, TERMINAL = Direction.CASHIER, Direction.TERMINAL
FRAMES = json.loads((Path(__file__).parent.parent / "data" / "concert_frames.json").read_text())["frames"]
BY_NAME = {row["name"]: bytes.fromhex(row["hex"]) for row in FRAMES}
REQUEST = BY_NAME["debit 12.34 EUR"]
ACCEPTED = BY_NAME["accepted"]
BROKEN = BY_NAME["bad LRC"]
ENQ, ACK, NAK, EOT = b"\x05", b"\x06", b"\x15", b"\x04"


def play(*steps: tuple[Direction, bytes], decoder: ConcertDecoder | None = None) -> list[Observation]:
    decoder = decoder or ConcertDecoder()
    return [seen for direction, data in steps for seen in decoder.feed(direction, data)]


def one(direction: Direction, body: bytes) -> Observation:
    (seen,) = play((direction, frame(body)))
    return seen


def request_body(kind: str = "0", mode: str = "1", answer: str = "A010", forced: str = "B010") -> bytes:
    return f"07000012341{mode}{kind}978{'':10}{answer}{forced}".encode()


def answer_body(report: str = "", private: str = "", result: str = "0") -> bytes:
    return f"07{result}000012341{report}978{private:<10}".encode()


@pytest.mark.parametrize("row", FRAMES, ids=lambda row: str(row["name"]))
def test_published_frames(row: dict[str, object]) -> None:
    (seen,) = play((Direction(str(row["direction"])), bytes.fromhex(str(row["hex"]))))
    shown = as_dict(seen)
    fields = shown["fields"]
    assert isinstance(fields, dict)
    said = {"checksum": shown["checksum"]} | {
        name: fields.get(name) for name in ("kind", "amount", "currency", "checkout", "outcome", "private")
    }
    if "card" in fields:
        said["card_masked"] = fields["card"]["masked"]
    expected = row["expected"]
    assert isinstance(expected, dict)
    assert {name: said[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("0", (Kind.PURCHASE, "debit")),
        ("1", (Kind.REFUND, "credit")),
        ("2", (Kind.VOID, "cancel")),
        ("3", (None, "duplicate")),
        ("A", (None, "iso 2")),
        ("B", (Kind.OTHER, "specific")),
        ("4", (Kind.OTHER, "kind 4")),
    ],
)
def test_kinds_of_requests(kind: str, expected: tuple[Kind | None, str]) -> None:
    seen = one(CASHIER, request_body(kind))
    assert isinstance(seen, Request)
    assert (seen.kind, seen.message) == expected


def test_what_a_request_asks_for_beside() -> None:
    seen = one(CASHIER, request_body(mode="C", answer="A011", forced="B011"))
    assert dict(seen.facts.extra) == {
        "checkout": "07",
        "mode": "cheque",
        "report": 1,
        "answer": "at_once",
        "forced": 1,
    }


@pytest.mark.parametrize(
    ("result", "outcome", "at_once"),
    [
        ("0", Outcome.APPROVED, False),
        ("7", Outcome.DECLINED, False),
        ("9", Outcome.UNKNOWN, True),
        ("4", Outcome.UNKNOWN, False),
    ],
)
def test_results(result: str, outcome: Outcome, at_once: bool) -> None:
    seen = one(TERMINAL, answer_body(result=result))
    assert isinstance(seen, Answer)
    assert (seen.outcome, seen.at_once, seen.final, seen.facts.response_code) == (outcome, at_once, True, result)


def test_only_an_approval_has_an_approval_code() -> None:
    assert one(TERMINAL, answer_body(private="A12345")).facts.approval_code == "A12345"
    refused = one(TERMINAL, answer_body(private="A12345", result="7")).facts
    assert refused.approval_code is None
    assert dict(refused.extra)["private"] == "A12345"
    assert one(TERMINAL, answer_body()).facts.approval_code is None


@pytest.mark.parametrize(
    ("report", "masked"),
    [
        ("4975541234514970".ljust(55), "497554******4970"),
        ("4975541234514970".ljust(55, "0"), "497554******4970"),
        ("  4975541234514970 123456".ljust(55), "497554******4970"),
        ("622202******1234".ljust(55), "622202******1234"),
        ("374245455400126".ljust(120), "374245*****0126"),
        ("".ljust(55), None),
        ("0" * 55, None),
    ],
)
def test_the_card_in_a_report_is_masked(report: str, masked: str | None) -> None:
    card = one(TERMINAL, answer_body(report, "A1")).facts.card
    assert (card.masked if card else None) == masked


def test_digits_that_run_from_the_report_into_the_private_field_are_not_shown() -> None:
    seen = one(TERMINAL, answer_body("x" * 51 + "4975", "5412345149"))
    assert isinstance(seen, Answer)
    assert "private" not in dict(seen.facts.extra)
    assert seen.facts.approval_code is None


@pytest.mark.parametrize("direction", list(Direction))
def test_a_good_frame_of_another_layout_is_noise_with_a_good_checksum(direction: Direction) -> None:
    seen = one(direction, b"HELLO")
    assert seen == Noise(direction=direction, checksum=Checksum.OK, length=8, reason="unknown layout")


def test_a_whole_exchange() -> None:
    decoder = ConcertDecoder()
    seen = play(
        (CASHIER, ENQ), (TERMINAL, ACK), (CASHIER, REQUEST), (TERMINAL, ACK), (CASHIER, EOT),
        (TERMINAL, ENQ), (CASHIER, ACK), (TERMINAL, ACCEPTED), (CASHIER, ACK), (TERMINAL, EOT),
        decoder=decoder,
    )  # fmt: skip
    assert [type(each) for each in seen] == [
        Progress, Ack, Request, Ack, Progress, Progress, Ack, Answer, Ack, Progress,
    ]  # fmt: skip
    assert [each.of for each in seen if isinstance(each, Ack)] == [
        Acked.ENQUIRY, Acked.REQUEST, Acked.ENQUIRY, Acked.ANSWER,
    ]  # fmt: skip
    assert [each.phase for each in seen if isinstance(each, Progress)] == [None] * 4
    assert decoder.idle


def test_idle_from_the_end_of_one_payment_to_the_enquiry_of_the_next() -> None:
    decoder = ConcertDecoder()
    assert decoder.idle
    for direction, data in (
        (CASHIER, ENQ), (TERMINAL, ACK), (CASHIER, REQUEST), (TERMINAL, ACK), (CASHIER, EOT),
        (TERMINAL, ENQ), (CASHIER, ACK), (TERMINAL, ACCEPTED), (CASHIER, ACK),
    ):  # fmt: skip
        decoder.feed(direction, data)
        assert not decoder.idle, (direction, data)
    decoder.feed(TERMINAL, EOT)
    assert decoder.idle


@pytest.mark.parametrize(
    "steps",
    [
        [(CASHIER, ENQ), (TERMINAL, NAK)],
        [(CASHIER, ENQ), (TERMINAL, ACK), (CASHIER, EOT)],
        [(CASHIER, ENQ), (TERMINAL, ACK), (CASHIER, REQUEST), (TERMINAL, NAK), (CASHIER, EOT)],
    ],
    ids=["busy", "probe", "request refused"],
)
def test_an_exchange_without_a_request_leaves_the_line_idle(steps: list[tuple[Direction, bytes]]) -> None:
    decoder = ConcertDecoder()
    play(*steps, decoder=decoder)
    assert decoder.idle


def test_an_unanswered_payment_ends_with_the_next_exchange() -> None:
    decoder = ConcertDecoder()
    play((CASHIER, ENQ), (TERMINAL, ACK), (CASHIER, REQUEST), (TERMINAL, ACK), (CASHIER, EOT), decoder=decoder)
    assert not decoder.idle
    play((CASHIER, ENQ), (TERMINAL, ACK), (CASHIER, EOT), decoder=decoder)
    assert decoder.idle


def test_a_refused_answer_sent_again() -> None:
    seen = play(
        (TERMINAL, ENQ), (CASHIER, ACK), (TERMINAL, BROKEN), (CASHIER, NAK), (TERMINAL, ACCEPTED), (CASHIER, ACK)
    )
    acks = [(each.positive, each.of) for each in seen if isinstance(each, Ack)]
    assert acks == [(True, Acked.ENQUIRY), (False, Acked.ANSWER), (True, Acked.ANSWER)]


@pytest.mark.parametrize(
    "steps",
    [
        [(TERMINAL, ENQ), (TERMINAL, ENQ), (TERMINAL, ENQ)],
        [(TERMINAL, ENQ), (CASHIER, ACK), (TERMINAL, BROKEN), (CASHIER, NAK)],
        [(TERMINAL, ENQ), (CASHIER, ACK), (TERMINAL, ACCEPTED)],
    ],
    ids=["nobody listens", "never understood", "never acknowledged"],
)
def test_a_terminal_that_ends_undelivered_has_given_up(steps: list[tuple[Direction, bytes]]) -> None:
    decoder = ConcertDecoder()
    play(*steps, decoder=decoder)
    (end,) = decoder.feed(TERMINAL, EOT)
    assert isinstance(end, Progress)
    assert end.phase is Phase.GAVE_UP
    assert decoder.idle


def test_an_acknowledgement_of_nothing_is_told_as_such() -> None:
    (seen,) = play((CASHIER, ACK))
    assert seen == Ack(direction=CASHIER, positive=True, of=Acked.OTHER)


def test_a_frame_cut_by_silence_is_noise() -> None:
    decoder = ConcertDecoder()
    assert decoder.feed(TERMINAL, ACCEPTED[:40]) == []
    assert decoder.silence(CASHIER) == []
    assert decoder.silence(TERMINAL) == [Noise(direction=TERMINAL, length=40, reason="frame cut short")]


def test_reset_forgets_the_exchange() -> None:
    decoder = ConcertDecoder()
    play((CASHIER, ENQ), (TERMINAL, ACK), (CASHIER, REQUEST[:9]), decoder=decoder)
    assert [type(each) for each in decoder.reset()] == [Noise]
    assert decoder.idle
    assert decoder.feed(TERMINAL, ACK) == [Ack(direction=TERMINAL, positive=True, of=Acked.OTHER)]


def test_every_result_has_a_text_of_the_same_class() -> None:
    table = codes.table("concert")
    assert set(table) == set(RESULTS)
    assert all(table[code].outcome is outcome for code, (outcome, _) in RESULTS.items())


def test_every_kind_has_a_name_of_its_own() -> None:
    assert len({name for _, name in KINDS.values()}) == len(KINDS)


@pytest.mark.parametrize(
    "body",
    [
        answer_body("4975541234514970".ljust(55), "A123456"),
        answer_body("4975541234514970".ljust(55, "0"), "A123456"),
        answer_body("374245455400126 0000000000".ljust(55), ""),
        answer_body("x" * 51 + "4975", "5412345149"),
        answer_body("", "1234567890"),
    ],
)
def test_a_masked_recording_decodes_as_the_original_and_holds_no_card(body: bytes) -> None:
    assert DRIVER.masker is not None
    (piece,) = DRIVER.masker(Framing.SERIAL).feed(TERMINAL, frame(body))
    assert isinstance(piece, bytes)
    assert len(piece) == len(body) + 3
    assert play((TERMINAL, piece)) == play((TERMINAL, frame(body)))
    for pan in (b"4975541234514970", b"374245455400126"):
        assert pan not in piece


def test_masking_leaves_a_request_as_it_is() -> None:
    assert DRIVER.masker is not None
    assert DRIVER.masker(Framing.SERIAL).feed(CASHIER, ENQ + REQUEST) == [ENQ + REQUEST]


def test_masking_keeps_a_wrong_lrc_wrong_and_leaves_out_what_is_no_frame() -> None:
    assert DRIVER.masker is not None
    masker = DRIVER.masker(Framing.SERIAL)
    assert masker.feed(TERMINAL, b"4975541234") == []
    noise, broken = masker.feed(TERMINAL, BROKEN)
    assert noise == LeftOut(10)
    assert isinstance(broken, bytes)
    assert not set(broken[1:-2]) & set(b"123456789")
    assert [type(each) for each in play((TERMINAL, broken))] == [Noise]
    assert masker.feed(TERMINAL, ACCEPTED[:20]) == []
    assert masker.silence(TERMINAL) == [LeftOut(20)]
