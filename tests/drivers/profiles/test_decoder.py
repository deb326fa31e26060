"""What a profile's decoder tells the book: who asked what, how it ended, and what is none of the payment's answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers import registry
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
    Progress,
    Receipt,
    Request,
    Settlement,
    Total,
)
from drivers.profiles.compose import compose
from drivers.profiles.decoder import ProfileDecoder
from drivers.profiles.driver import code_book
from drivers.profiles.framing import Shape
from drivers.profiles.load import load, parse
from drivers.profiles.schema import Fact, Profile
from tests.drivers.profiles.sample import sample
from tests.logs.profile_cashier import Words

CASHIER, TERMINAL = Direction.CASHIER, Direction.TERMINAL
CALL = load(Path(__file__).parent / "call.toml")


class Line:
    """A line that is listened to."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.words = Words(profile)
        self.decoder = ProfileDecoder(profile, code_book(profile))

    def ask(self, amount: int = 1285, **wishes: str) -> list[Observation]:
        return self.decoder.feed(CASHIER, self.words.request(amount, **wishes))  # type: ignore[arg-type]

    def answer(self, code: str = "00", amount: int = 1285, nonce: str = "001", **named: str) -> list[Observation]:
        facts = {
            Fact.RESPONSE_CODE: code,
            Fact.RESULT: code,
            Fact.AMOUNT: str(amount),
            Fact.NONCE: nonce,
            Fact.CARD: "6200000000000005",
        }
        message = next(m for m in self.profile.messages if m.role == "answer")
        data = compose(self.profile, Shape(self.profile.framing), TERMINAL, message, facts, named)
        return self.decoder.feed(TERMINAL, data)

    def one(self, observations: list[Observation]) -> Observation:
        (only,) = observations
        return only


@pytest.fixture
def line() -> Line:
    return Line(sample())


def test_a_payment_from_its_request_to_its_acknowledgement(line: Line) -> None:
    request = line.one(line.ask())
    assert isinstance(request, Request)
    assert (request.kind, request.facts.amount, request.facts.currency, request.facts.order) == (
        Kind.PURCHASE, 1285, "CNY", "HIS0001",
    )  # fmt: skip
    assert line.decoder.feed(TERMINAL, b"\x06") == [Ack(direction=TERMINAL, positive=True, of=Acked.REQUEST)]
    answer = line.one(line.answer())
    assert isinstance(answer, Answer)
    assert (answer.outcome, answer.final) == (Outcome.APPROVED, True)
    assert answer.facts.card is not None
    assert answer.facts.card.masked == "620000******0005"
    assert not line.decoder.idle
    assert line.decoder.feed(CASHIER, b"\x06") == [Ack(direction=CASHIER, positive=True, of=Acked.ANSWER)]
    assert line.decoder.idle


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("00", "approved"),
        ("51", "declined"),
        ("C1", "cancelled"),
        ("98", "unknown"),
        ("77", "unknown"),
        ("", "unknown"),
    ],
)
def test_the_code_decides_and_an_unlisted_one_is_unknown(line: Line, code: str, outcome: str) -> None:
    line.ask()
    answer = line.one(line.answer(code))
    assert isinstance(answer, Answer)
    assert answer.outcome == outcome


def test_an_answer_that_repeats_another_number_is_stale(line: Line) -> None:
    line.ask()
    line.ask()  # 002: the application has given up the first
    assert line.answer(nonce="001") == [
        Noise(direction=TERMINAL, checksum=Checksum.OK, length=100, reason="stale answer")
    ]
    assert isinstance(line.one(line.answer(nonce="002")), Answer)


def test_the_answer_of_a_query_that_only_worked_says_nothing(line: Line) -> None:
    line.ask(code="05")
    answer = line.one(line.answer())
    assert isinstance(answer, Answer)
    assert answer.outcome is None


def test_the_answer_of_a_query_that_shows_the_payment_has_its_outcome(line: Line) -> None:
    request = line.one(line.ask(0, code="07"))
    assert isinstance(request, Request)
    assert (request.kind, request.message) == (None, "last transaction")
    answer = line.one(line.answer("51"))
    assert isinstance(answer, Answer)
    assert answer.outcome is Outcome.DECLINED


def test_an_unknown_code_with_an_amount_may_move_money(line: Line) -> None:
    paying, asking = line.one(line.ask(1285, code="66")), line.one(line.ask(0, code="66"))
    assert isinstance(paying, Request)
    assert isinstance(asking, Request)
    assert (paying.kind, paying.message) == (Kind.PURCHASE, "code 66")
    assert asking.kind is Kind.OTHER


def test_a_broken_frame_is_told_and_refused(line: Line) -> None:
    line.ask()
    message = next(m for m in line.profile.messages if m.role == "answer")
    data = bytearray(compose(line.profile, Shape(line.profile.framing), TERMINAL, message, {Fact.RESPONSE_CODE: "00"}))
    data[-1] ^= 1
    (noise,) = line.decoder.feed(TERMINAL, bytes(data))
    assert (noise.checksum, isinstance(noise, Noise)) == ("bad", True)
    assert line.decoder.feed(CASHIER, b"\x15") == [Ack(direction=CASHIER, positive=False, of=Acked.ANSWER)]


def test_a_call_has_no_acknowledgement_and_ends_with_its_answer() -> None:
    decoder = ProfileDecoder(CALL, code_book(CALL))
    assert decoder.feed(CASHIER, b"00|1285|6200000000000005=2912|527|") == []
    (request,) = decoder.feed(TERMINAL, b"00|620000******0012|||1285|")
    assert isinstance(request, Request)
    assert "2912" not in repr(request)
    decoder.feed(TERMINAL, "交易成功|527||".encode("gbk"))
    (answer,) = decoder.silence(TERMINAL)
    assert isinstance(answer, Answer)
    assert (answer.outcome, answer.facts.amount, answer.text) == (Outcome.APPROVED, 1285, ("交易成功",))
    assert decoder.idle


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("0", Outcome.APPROVED),
        ("1", Outcome.UNKNOWN),
        ("4", Outcome.REVERSED),
        ("9", Outcome.UNKNOWN),
        ("", None),
    ],
)
def test_the_status_of_a_query_decides_and_not_its_code(status: str, outcome: Outcome | None) -> None:
    """A query that worked is not a payment that worked."""
    decoder = ProfileDecoder(CALL, code_book(CALL))
    decoder.feed(CASHIER, b"09|0||001|")
    decoder.feed(TERMINAL, f"00||||1285||001|{status}|".encode())
    (answer,) = decoder.silence(TERMINAL)
    assert isinstance(answer, Answer)
    assert (answer.outcome, answer.facts.response_code) == (outcome, "00")


@pytest.mark.parametrize(
    ("asked", "code", "status", "outcome"),
    [
        ("00", "51", "0", Outcome.DECLINED),  # a payment: its code counts, whatever fills the status
        ("00", "00", "0", Outcome.APPROVED),
        ("00", "00", "1", Outcome.UNKNOWN),
        ("09", "51", "0", Outcome.UNKNOWN),  # a query that failed
        ("09", "00", "4", Outcome.REVERSED),
    ],
)
def test_where_code_and_status_disagree_nothing_is_approved(
    asked: str, code: str, status: str, outcome: Outcome
) -> None:
    decoder = ProfileDecoder(CALL, code_book(CALL))
    decoder.feed(CASHIER, f"{asked}|1285||001|".encode())
    decoder.feed(TERMINAL, f"{code}||||1285||001|{status}|".encode())
    (answer,) = decoder.silence(TERMINAL)
    assert isinstance(answer, Answer)
    assert answer.outcome is outcome


def test_a_call_that_is_cut_off_is_no_message() -> None:
    decoder = ProfileDecoder(CALL, code_book(CALL))
    decoder.feed(CASHIER, b"00|1285||1|")
    assert decoder.reset() == [Noise(direction=CASHIER, length=11, reason="message cut short")]


def test_an_opaque_line_shows_times_and_ends_only() -> None:
    line = Line(load(registry.profiles()["wonder"]))
    request = line.one(line.ask(code="Sale"))
    assert isinstance(request, Request)
    assert (request.kind, request.facts.amount) == (Kind.PURCHASE, None)
    answer = line.one(line.answer())
    assert isinstance(answer, Answer)
    assert (answer.outcome, answer.final) == (Outcome.UNKNOWN, True)


def test_a_log_of_the_terminal_s_may_come_without_a_check() -> None:
    decoder = ProfileDecoder(ing := load(registry.profiles()["ing-tlv"]), code_book(ing))
    for payload, message in ((b"LOGLOG boot", "log"), (b"ACKACK000005", "success notice")):
        data = Shape(ing.framing).build(payload, {})
        for last in (data[-1], data[-1] ^ 0x0F):
            (seen,) = decoder.feed(TERMINAL, data[:-1] + bytes([last]))
            assert isinstance(seen, Progress)
            assert seen.message == message


PARTS = (
    '  { name = "random", size = 3, fact = "nonce" },\n]\n\n[[messages]]\nname = "request"',
    '  { name = "random", size = 3, fact = "nonce" },\n  { name = "more", size = 1 },\n'
    '  { name = "sales", size = 4, fact = "total_count", total = "sales" },\n'
    '  { name = "sum", size = 12, fact = "total_amount", total = "sales" },\n'
    '  { name = "slip", rest = true, fact = "receipt", copy = "merchant" },\n]\n\n[[messages]]\nname = "request"',
)


def test_parts_totals_and_receipts() -> None:
    line = Line(
        sample(
            PARTS,
            ('layout = "answer"', 'layout = "answer"\nmore = { more = "1" }'),
            ('"05" =', '"06" = "settlement"\n"05" ='),
        )
    )
    line.ask(0, code="06")
    (first,) = line.answer(more="1")
    assert isinstance(first, Answer)
    assert first.final is False
    last, receipt, settlement = line.answer(more="0", sales="12", sum="15850", slip="结算单\r\n6200000000000005\r\n")
    assert isinstance(last, Answer)
    assert last.final is True
    assert isinstance(receipt, Receipt)
    assert receipt.text == ("结算单", "620000******0005")
    assert isinstance(settlement, Settlement)
    assert settlement.totals == (Total("sales", 12, 15850),)


@pytest.mark.parametrize(
    ("written", "minor"),
    [("12.85", 1285), ("RMB  12.85", 1285), ("-20.00", 2000), ("7", 700), ("1,234.5", 123450), ("x", None)],
)
def test_amounts_as_people_write_them(written: str, minor: int | None) -> None:
    text = (Path(__file__).parent / "call.toml").read_text(encoding="utf-8")
    text = text.replace('{ name = "amount", fact = "amount" }', '{ name = "amount", fact = "amount", unit = "major" }')
    profile = parse(text, Path("call.toml"))
    decoder = ProfileDecoder(profile, code_book(profile))
    decoder.feed(CASHIER, f"00|{written}||1|".encode())
    (request,) = decoder.finish()
    assert request.facts.amount == minor


@pytest.mark.parametrize(
    ("said", "outcome"), [("Y", Outcome.APPROVED), ("N", Outcome.DECLINED), ("?", Outcome.UNKNOWN)]
)
def test_a_result_where_there_is_no_code(said: str, outcome: Outcome) -> None:
    results = ("[kinds]", '[results]\nY = "approved"\nN = "declined"\n\n[kinds]')
    line = Line(sample(('size = 2, fact = "response_code"', 'size = 2, fact = "result"'), results))
    line.ask()
    answer = line.one(line.answer(code=said))
    assert isinstance(answer, Answer)
    assert (answer.outcome, answer.facts.response_code) == (outcome, None)


def test_layouts_inside_themselves_are_read_so_deep_and_no_deeper() -> None:
    profile = load(registry.profiles()["ing-tlv"])
    payload = bytes.fromhex("DF010102DF02024545")
    for _ in range(9):
        payload += b"\xdf\x06\x82" + len(payload).to_bytes(2, "big") + payload
    decoder = ProfileDecoder(profile, code_book(profile))
    seen = decoder.feed(TERMINAL, Shape(profile.framing).build(payload[:2000], {})) + decoder.finish()
    assert seen
    assert "data" not in repr(seen)
