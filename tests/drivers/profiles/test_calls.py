"""The formats that exist as a call between application and DLL: what their answers prove, and what they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers import registry
from drivers.observations import Answer, Direction, Kind, Noise, Observation, Outcome, Request
from drivers.profiles.decoder import ProfileDecoder
from drivers.profiles.driver import code_book
from drivers.profiles.load import load
from drivers.profiles.schema import Profile
from tests.drivers.profiles.test_frames import ASSUMED, CASES, PROFILES

CASHIER, TERMINAL = Direction.CASHIER, Direction.TERMINAL
BY_ID = {case["id"]: bytes.fromhex(case["hex"]) for case in CASES}
CALLS = ("ums-bankall", "landi-pipe", "icbc-std", "keeper-csv", "hzbank", "boc-yada", "easypay")

#: what the tables of the formats say, written out by hand: a sale of 128.50 and its approval
SALES = {
    "ums-bankall": (BY_ID["ums-bankall-sale-req"], None),
    "landi-pipe": (
        b"POS00019|811615  |00|000000012850||||HIS20240607000123   |"
        + "张三".encode("gbk")
        + b"|"
        + b"|" * 15
        + b"|" * 2,
        BY_ID["landi-pipe-ok"],
    ),
    "icbc-std": (b"1001,AMT1=12850", BY_ID["icbc-std-ok"]),
    "keeper-csv": (b"05,000000012850,,,,POS00019,811615,6200000000000005,,\r\n", BY_ID["icbc-keeper-ok"] + b"\r\n"),
    "hzbank": (
        b"%-16s%-14s%-6sC000000%012d0000%012d%-19s%-146s\r\n"
        % (b"", b"POS00019", b"811615", 0, 12850, b"", b"6200000000000005=2912"),
        b"0,%-16s00%-30s" % (b"", "交易成功".encode("gbk"))
        + b"\x1c".join([b""] * 7 + [b"620000******0005"] + [b""] * 4 + [b"000010"] + [b""] * 3 + [b"000000012850"])
        + b"\r\n",
    ),
    "boc-yada": (
        b"00,000000012850,%-19s,2912,000000,,,,,POS00019,811615,\r\n" % b"6200000000000005",
        b"0,00,00,%-40s,620000******0005   ,88001234,20240607093015,240607100001,A12345,000010,000005,000000012850\r\n"
        % "交易成功".encode("gbk"),
    ),
    "easypay": (b"MISAPP1,000000012850", b"001000DATA OF IT"),
}


def profile_of(name: str) -> Profile:
    return load(registry.profiles()[name])


def heard(name: str, *said: tuple[Direction, bytes]) -> list[Observation]:
    """What these messages are, each whole."""
    profile = profile_of(name)
    decoder = ProfileDecoder(profile, code_book(profile))
    seen: list[Observation] = []
    for direction, data in said:
        seen += decoder.feed(direction, data) + decoder.silence(direction)
    return seen


def answer_of(name: str, data: bytes, request: bytes | None = None) -> Answer:
    said = [(CASHIER, request)] if request else []
    answer = heard(name, *said, (TERMINAL, data))[-1]
    assert isinstance(answer, Answer), answer
    return answer


@pytest.mark.parametrize("name", CALLS)
def test_a_sale_by_the_table(name: str) -> None:
    asked, answered = SALES[name]
    request, *answers = heard(name, (CASHIER, asked), *([(TERMINAL, answered)] if answered else []))
    assert isinstance(request, Request)
    assert request.kind is Kind.PURCHASE
    amount = None if name == "easypay" else 12850
    assert request.facts.amount == amount
    shown = repr(request)
    assert not any(secret in shown for secret in ("6200000000000005", "2912", "张三", "=29"))
    for answer in answers:
        assert isinstance(answer, Answer)
        assert (answer.outcome, answer.facts.amount, answer.facts.response_code) == (Outcome.APPROVED, amount, "00")
        assert answer.facts.trace == (None if name == "easypay" else "000010")
        assert "DATA" not in repr(answer)


def test_another_call_s_random_digits_mark_a_stale_answer() -> None:
    (_, noise) = heard(
        "ums-bankall",
        (CASHIER, BY_ID["ums-bankall-sale-req"]),  # 527
        (TERMINAL, BY_ID["ums-bankall-lrcmismatch"]),  # 111
    )
    assert isinstance(noise, Noise)
    assert noise.reason == "stale answer"
    answer = answer_of(
        "ums-bankall", BY_ID["ums-bankall-lrcmismatch"], BY_ID["ums-bankall-sale-req"].replace(b"527", b"111")
    )
    assert answer.outcome is Outcome.APPROVED


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("0", "approved"),
        ("1", "unknown"),
        ("2", "reversed"),
        ("3", "reversed"),
        ("4", "reversed"),
        ("5", "declined"),
        ("9", "unknown"),
    ],
)
def test_what_became_of_a_queried_payment_is_its_status(status: str, outcome: str) -> None:
    answer = BY_ID["ums-bankall-query-rev"]
    place = 148 + 12 + 2 + 200 + 50 + 50 + 50 + 1
    assert answer[place : place + 1] == b"4"
    changed = answer[:place] + status.encode() + answer[place + 1 :]
    assert answer_of("ums-bankall", changed).outcome == outcome


@pytest.mark.parametrize("name", ["ums-bankall", "landi-pipe", "keeper-csv", "hzbank", "boc-yada", "easypay"])
@pytest.mark.parametrize("code", ["68", "98", "96", "ZZ", "  "])
def test_a_time_out_and_an_unlisted_code_are_unknown(name: str, code: str) -> None:
    asked, answered = SALES[name]
    answered = answered or BY_ID["ums-bankall-short"]
    place = {"ums-bankall": 0, "landi-pipe": 0, "hzbank": 18, "easypay": 4, "boc-yada": 5}.get(name)
    if place is None:
        place = answered.index(b",00,") + 1
    assert answered[place : place + 2] == b"00"
    changed = answered[:place] + code.encode() + answered[place + 2 :]
    if name == "ums-bankall":
        changed = changed[:145] + b"527"
    assert answer_of(name, changed, asked).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("returned", [b"-1", b"-2\r\n", b"-3,00,00", b"-1" + b" " * 60])
def test_a_call_that_failed_is_no_decline(name: str, returned: bytes) -> None:
    """What the call returned, instead of an answer or before what an earlier one left in the buffer."""
    assert answer_of(name, returned, SALES[name][0]).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("name", ["hzbank", "boc-yada"])
@pytest.mark.parametrize("returned", [b"-1", b"-99", b"1"])
def test_what_an_earlier_call_left_behind_a_failed_one_proves_nothing(name: str, returned: bytes) -> None:
    asked, answered = SALES[name]
    assert answered is not None
    assert answer_of(name, returned + answered[1:], asked).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("name", CALLS)
def test_an_empty_or_blank_answer_approves_nothing(name: str) -> None:
    for blank in (b" " * 1000, b"\0" * 792, b"\r\n", b"," * 40, b"|" * 40):
        seen = heard(name, (CASHIER, SALES[name][0]), (TERMINAL, blank))
        assert not any(isinstance(each, Answer) and each.outcome not in (None, Outcome.UNKNOWN) for each in seen)


@pytest.mark.parametrize("name", CALLS)
def test_an_answer_that_was_cut_off_approves_nothing_before_its_code_is_whole(name: str) -> None:
    """Where the layout has an end that can be told, not even then: all that names the payment has to be there."""
    asked, answered = SALES[name]
    answered = answered or BY_ID["ums-bankall-short"]
    whole = answer_of(name, answered)
    for length in range(len(answered)):
        for seen in heard(name, (CASHIER, asked), (TERMINAL, answered[:length])):
            if isinstance(seen, Answer) and seen.outcome is Outcome.APPROVED:
                assert seen.facts.response_code == whole.facts.response_code
                assert name in ("hzbank", "easypay") or len(answered) - length <= 20
                assert name in ("hzbank", "easypay", "boc-yada") or seen.facts.amount is not None


def test_a_bar_that_is_half_a_character_separates_nothing() -> None:
    """瞸 is B2 7C: its second byte is the separator. A message cut in mid-character ends with the separator's first."""
    answer = BY_ID["landi-pipe-ok"]
    message = "交易成功".encode("gbk")
    for text, shown in (
        ("刘瞸".encode("gbk"), "刘瞸"),
        ("交易成".encode("gbk")[:-1], "交易"),
        (b"\xb2\x7c" * 3, "瞸瞸瞸"),
    ):
        seen = answer_of("landi-pipe", answer.replace(message, text))
        assert seen.text == (shown,)
        assert (seen.facts.channel_order, seen.facts.order) == ("1017202406070001", "HIS20240607000123")


def test_a_message_cut_in_mid_character_does_not_move_what_stands_behind_it() -> None:
    answer = BY_ID["ums-bankall-short"]
    text = ("余额不足" * 6).encode("gbk")[:39] + b"\xc4"
    changed = b"51" + answer[2:44] + text[:40] + answer[84:]
    seen = answer_of("ums-bankall", changed)
    assert (seen.outcome, seen.facts.merchant_id) == (Outcome.DECLINED, "898111180620001")
    assert seen.text[0].startswith("余额不足余额不足")
    assert "\ufffd" not in seen.text[0]


def test_a_refusal_of_the_bank_s_is_a_code_and_a_text() -> None:
    answer = answer_of("icbc-std", b"51" + "余额不足".encode("gbk"), b"1001,AMT1=12850")
    assert (answer.outcome, answer.text) == (Outcome.DECLINED, ("余额不足",))
    for asked, kind, amount in (
        (b"1101,I1=10000001,AMT1=12850", Kind.VOID, 12850),
        (b"1102,AMT1=000000012850,I1=20240606,I2=10000001,I3=020000001234567", Kind.REFUND, 12850),
        (b"2002", Kind.BALANCE, None),
        (b"4001", None, None),
    ):
        (request,) = heard("icbc-std", (CASHIER, asked))
        assert isinstance(request, Request)
        assert (request.kind, request.facts.amount, request.facts.reference) == (kind, amount, None)


@pytest.mark.parametrize(
    ("name", "asked", "outcome"),
    [
        ("ums-bankall", b"04", Outcome.APPROVED),  # it shows the transaction that it prints
        ("ums-bankall", b"05", None),
        ("hzbank", b"P", Outcome.APPROVED),
        ("hzbank", b"L", None),
        ("landi-pipe", b"04", Outcome.APPROVED),
        ("landi-pipe", b"07", None),
        ("landi-pipe", b"64", None),
        ("keeper-csv", b"13", Outcome.APPROVED),
        ("keeper-csv", b"09", None),
        ("boc-yada", b"15", Outcome.APPROVED),
        ("boc-yada", b"34", None),
    ],
)
def test_what_the_answer_to_a_query_proves(name: str, asked: bytes, outcome: Outcome | None) -> None:
    """A query that worked is not a payment that worked."""
    sale, answered = SALES[name]
    place = {"ums-bankall": 16, "hzbank": 36, "landi-pipe": 18, "keeper-csv": 0, "boc-yada": 0}[name]
    request = sale[:place] + asked + sale[place + len(asked) :]
    if answered is None:
        answered = BY_ID["ums-bankall-short"][:145] + b"527"
    seen = heard(name, (CASHIER, request), (TERMINAL, answered))
    assert isinstance(seen[0], Request)
    assert seen[0].kind is None
    assert isinstance(seen[1], Answer)
    assert seen[1].outcome is outcome


def test_an_answer_whose_request_nobody_heard_says_what_it_is_of() -> None:
    answer = BY_ID["icbc-keeper-ok"]
    assert answer_of("keeper-csv", answer).kind is Kind.PURCHASE
    assert answer_of("keeper-csv", b"04" + answer[2:]).kind is Kind.REFUND
    assert answer_of("keeper-csv", answer, SALES["keeper-csv"][0]).kind is None


def test_a_frame_whose_crc_is_an_assumption() -> None:
    profile = load(Path(__file__).parent / "newpos.toml")
    (case,) = [case for case in CASES if case["protocol"] in ASSUMED]
    (request,) = ProfileDecoder(profile, code_book(profile)).feed(CASHIER, bytes.fromhex(case["hex"]))
    assert request.checksum == "ok"
    assert dict(request.facts.extra) == case["expect"]


def test_every_row_of_the_file_is_read_by_some_test() -> None:
    """MIS rows by test_frames.py and this file, ISO 8583 rows by tests/drivers/test_cup8583.py."""
    formats = {case["protocol"].split("/")[0] for case in CASES}
    assert formats == {"cup8583", "mis"}
    mis = [case for case in CASES if case["protocol"].startswith("mis/")]
    assert len(mis) == 26
    assert len(CASES) == 58
    assert all(case["protocol"] in PROFILES or case["protocol"] in ASSUMED for case in mis)
