"""The stream of a printer: commands skipped, slips told apart; bounded, linear and without cards whatever comes."""

from __future__ import annotations

import re
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.cards import luhn_valid, scheme_of
from drivers.observations import Direction, Noise, Observation, Receipt
from drivers.receipt import ReceiptDecoder
from drivers.receipts.escpos import Stripper, Text
from drivers.receipts.masking import PaperMasker
from drivers.receipts.paper import MOST_BYTES
from tests.drivers.pans import PANS

FOLDER = Path(__file__).parents[2] / "data" / "receipts"
SLIPS = {path.name: path.read_bytes() for path in sorted(FOLDER.glob("*.gbk"))}
WECHAT = SLIPS["06_wechat_scan.gbk"]
ALIPAY = SLIPS["07_alipay_scan_refund.gbk"]
CUT = b"\x1dVB\x00"


def decoded(*chunks: bytes, end: bool = True) -> list[Observation]:
    decoder = ReceiptDecoder()
    seen = [each for chunk in chunks for each in decoder.feed(Direction.TERMINAL, chunk)]
    return seen + (decoder.finish() if end else [])


def orders(seen: list[Observation]) -> list[str | None]:
    return [receipt.facts.channel_order for receipt in seen if isinstance(receipt, Receipt)]


BOTH = ["4200002188202406071234567890", "2024060722001412341234567890"]

# --- where a slip ends ----------------------------------------------------------------------------------------------


ENDS = [CUT, b"\x1dV\x00", b"\x1dV1", b"\x1bi", b"\x1bm", b"\x0c", b"\nCUTPAPER\n"]
ENDS += [b"\n" * 6, b"\r\n" * 6, b"\n\x1bd\x05"]


@pytest.mark.parametrize(
    "end",
    ENDS,
    ids=lambda end: end.hex(),
)
def test_a_slip_ends_at_once_where_its_paper_does(end: bytes) -> None:
    assert orders(decoded(WECHAT + end, end=False)) == BOTH[:1]
    assert orders(decoded(WECHAT + end + ALIPAY + end, end=False)) == BOTH


def test_lines_left_for_the_signature_do_not_end_it() -> None:
    assert len(decoded(SLIPS["01_sale_bilingual_unionpay.gbk"])) == 1


def test_two_slips_without_a_cut_are_told_apart_by_their_titles() -> None:
    assert orders(decoded(WECHAT + ALIPAY)) == BOTH


def test_a_reprint_mark_above_a_title_belongs_to_the_slip_below() -> None:
    mark = "****重打印/DUPLICATED****\n".encode("gbk")
    first, second = [seen for seen in decoded(WECHAT + b"\n" + mark + ALIPAY) if isinstance(seen, Receipt)]
    assert first.slip is not None
    assert second.slip is not None
    assert (first.slip.reprint, second.slip.reprint) == (False, True)


def test_silence_ends_a_slip_of_its_direction() -> None:
    decoder = ReceiptDecoder()
    assert decoder.feed(Direction.CASHIER, WECHAT) == []
    assert not decoder.idle
    assert decoder.silence(Direction.TERMINAL) == []
    assert orders(decoder.silence(Direction.CASHIER)) == BOTH[:1]
    assert decoder.idle


def test_a_picture_alone_says_that_it_can_not_be_read() -> None:
    (seen,) = decoded(b"\x1b@\x1dv0\x00\x02\x00\x03\x00" + b"\xff12345" + CUT)
    assert isinstance(seen, Receipt)
    assert dict(seen.facts.extra) == {"image": 1}
    assert seen.text == ()


def test_a_printer_that_only_tells_its_state_prints_nothing() -> None:
    assert decoded(b"\x12\x16") == [Noise(direction=Direction.TERMINAL, length=2, reason="nothing printed")]
    assert decoded(b"\x1b@\x1bd\x03" + CUT) == []


def test_nothing_is_kept_without_end() -> None:
    seen = decoded(b"x" * (MOST_BYTES * 2 + 10), end=False)
    assert [isinstance(each, Receipt) and each.complete for each in seen] == [False, False]


# --- commands -------------------------------------------------------------------------------------------------------

COMMANDS = [
    *(b"\x1b@", b"\x1b!8", b"\x1ba1", b"\x1bE\x01", b"\x1d!\x11", b"\x1c&", b"\x1c.", b"\x1c!\x04", b"\x1cS\x01\x02"),
    *(b"\x1b$\x10\x00", b"\x1d\x4c\x10\x00", b"\x1bt\x10", b"\x1b3A", b"\x1bp\x00\x19\xfa", b"\x10\x04\x01"),
    b"\x1dk\x04123456\x00",
    b"\x1dkI\x05ABCDE",
    b"\x1d(k\x08\x001P0https",
    b"\x1dv0\x00\x01\x00\x04\x00abcd",
    b"\x1b*\x21\x02\x00abcdef",
    b"\x1bD\x08\x10\x00",
]


def text_of(*chunks: bytes) -> bytes:
    stripper = Stripper()
    pieces = [piece for chunk in chunks for piece in stripper.feed(chunk)]
    return b"".join(piece.data for piece in pieces if isinstance(piece, Text))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.hex())
def test_of_a_command_nothing_is_text(command: bytes) -> None:
    line = b"AB" + command + b"CD"
    assert text_of(line) == b"ABCD"
    assert text_of(*(bytes([byte]) for byte in line)) == b"ABCD"


@given(pieces=st.lists(st.one_of(st.sampled_from(COMMANDS), st.binary(max_size=9)), max_size=9), data=st.data())
@settings(deadline=None)
def test_commands_cut_anywhere(pieces: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(pieces)
    places = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    assert text_of(*(whole[a:b] for a, b in pairwise([0, *places, len(whole)]))) == text_of(whole)


# --- encodings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "gbk", "gb18030"])
def test_one_broken_byte_spoils_no_slip(encoding: str) -> None:
    printed = WECHAT.decode("gbk").encode(encoding)
    assert orders(decoded(printed.replace(b"RMB", b"\xffRMB", 1))) == BOTH[:1]


def test_a_code_page_of_the_stream_is_taken_where_the_bytes_are_nothing_else() -> None:
    (seen,) = decoded(b"\x1bt\x10Montant \x80 12,50 pay\xe9 \n")
    assert seen.text == ("Montant € 12,50 payé",)


def test_full_width_digits_are_digits() -> None:
    printed = "POS签购单\n终端号：８８００１２３４\n卡号：６２０００００００００００００５\n".encode("gbk")
    (seen,) = decoded(printed)
    assert seen.facts.terminal_id == "88001234"
    assert seen.text[2] == "卡号：620000******0005"


# --- cards ----------------------------------------------------------------------------------------------------------

_RUN = re.compile(r"\d(?:[ -]?\d)*")


def card_numbers(text: str) -> list[str]:
    """Runs of digits that a scanner would take for card numbers."""
    runs = [re.sub("[ -]", "", run) for run in _RUN.findall(text)]
    return [run for run in runs if 13 <= len(run) <= 19 and luhn_valid(run) and scheme_of(run) and len(set(run)) > 1]


LABELS = ["卡号:", "商户订单号:", "交易参考号:", "凭证号:", "金额:", "微信订单号:\n", "商户号:", "备注 ", "", "TRACE "]
PRINTED = st.tuples(
    st.sampled_from(LABELS), st.sampled_from(["", " ", "12 ", "A"]), PANS, st.sampled_from(["", " S", "\n"])
)


@given(lines=st.lists(PRINTED), grouped=st.booleans())
@settings(deadline=None, max_examples=200)
def test_no_card_number_is_shown_whatever_label_stands_before_it(
    lines: list[tuple[str, str, str, str]], grouped: bool
) -> None:
    pans = [" ".join(re.findall("....?", pan)) if grouped else pan for _, _, pan, _ in lines]
    printed = "\n".join(label + lead + pan + tail for (label, lead, _, tail), pan in zip(lines, pans, strict=True))
    shown = repr(decoded(f"POS签购单\n{printed}".encode("gb18030")))
    for _, _, pan, _ in lines:
        assert pan not in re.sub(r"[ -]", "", shown)


@given(name=st.sampled_from(sorted(SLIPS)), data=st.data())
@settings(deadline=None, max_examples=150)
def test_spoilt_slips_raise_nothing_and_show_no_card(name: str, data: st.DataObject) -> None:
    slip = bytearray(SLIPS[name])
    for _ in range(data.draw(st.integers(1, 12))):
        place = data.draw(st.integers(0, len(slip)))
        slip[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    places = sorted(data.draw(st.lists(st.integers(0, len(slip)), max_size=4)))
    seen = decoded(*(bytes(slip[a:b]) for a, b in pairwise([0, *places, len(slip)])))
    assert seen == decoded(bytes(slip))
    for each in seen:
        assert not [run for line in each.text for run in card_numbers(line)]


@given(data=st.binary(max_size=600))
@settings(deadline=None, max_examples=200)
def test_any_bytes_raise_nothing_and_a_good_slip_behind_them_is_read(data: bytes) -> None:
    decoder = ReceiptDecoder()
    decoder.feed(Direction.TERMINAL, data)
    decoder.silence(Direction.TERMINAL)
    assert orders(decoder.feed(Direction.TERMINAL, WECHAT + CUT)) == BOTH[:1]


# --- recordings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(SLIPS))
def test_a_masked_recording_decodes_to_the_same(name: str) -> None:
    masker = PaperMasker()
    pieces = masker.feed(Direction.TERMINAL, SLIPS[name]) + masker.silence(Direction.TERMINAL)
    recorded = b"".join(piece for piece in pieces if isinstance(piece, bytes))
    assert len(recorded) == len(SLIPS[name])
    assert b"6200000000000005" not in recorded
    assert decoded(recorded) == decoded(SLIPS[name])


# --- cost -----------------------------------------------------------------------------------------------------------

HOSTILE = [
    *(b"1 ", b"12", b"\x1b", b"\x1dk\x04", b"\n", b"1" * 15 + b"*", b"\x1d8L\xff\xff\xff\xff", b"A \n", b"2024-"),
    *(
        text.encode("gbk")
        for text in ("商户名称:", "签购单\n", "金额 ", "金额:1,111,111,111,", "内卡 1 ", "卡号:\n", "重打印")
    ),
]


@pytest.mark.parametrize("unit", HOSTILE, ids=lambda unit: unit.hex())
def test_hostile_input_costs_linear_time(unit: bytes) -> None:
    def cost(size: int) -> float:
        data = unit * (size // len(unit))
        best = float("inf")
        for _ in range(3):
            start = time.process_time()
            decoded(data)
            best = min(best, time.process_time() - start)
        return best

    # Four times the bytes; quadratic cost would be sixteen times the time.
    assert cost(48_000) < 10 * cost(12_000) + 0.05
