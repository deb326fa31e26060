"""Card numbers as printers lay them out: whatever the groups, the label or the end of the line, they are hidden."""

from __future__ import annotations

import re

import pytest

from drivers.masking import LeftOut
from drivers.observations import Direction, Observation, Outcome, Receipt
from drivers.receipt import ReceiptDecoder
from drivers.receipts.masking import PaperMasker
from drivers.sniffer import SnifferDecoder
from tests.drivers.pans import with_check_digit

PAN, LONG = with_check_digit("622202123456789"), with_check_digit("622848012345678901")
WRONG = PAN[:-1] + str((int(PAN[-1]) + 1) % 10)  # banks have issued cards whose check digit does not fit
HEAD = "POS签购单\n终端编号:88001234\n交易类型:消费\n凭证号:000010\n金额:RMB 12.34\n"


def grouped(gap: str, number: str = PAN) -> str:
    return gap.join(number[at : at + 4] for at in range(0, len(number), 4))


LAYOUTS = [
    f"卡号:{PAN}",
    f"卡号:{WRONG}",
    f"卡号:\n{WRONG} (C)",
    f"卡号:{grouped(' ', WRONG)}",
    f"CARD NO. {WRONG}",
    f"卡号:{PAN[:10]}\n{PAN[10:]}",
    f"卡号:\n{LONG[:10]}\n{LONG[10:]}",
    f"卡号:{PAN[:6]}**{PAN[8:]}",
    f"卡号:{PAN}D25122011234567",
    *(f"备注 {grouped(gap, number)}" for gap in ("  ", ".", " - ", "/", "_", ",", "\t") for number in (PAN, LONG)),
    "卡号:" + grouped("—"),
    f"金额:{PAN}",
    f"订单号:{PAN}",
]


def longest_shown(text: str, number: str) -> int:
    """Digits of the number that can be read in a row, whatever stands between them."""
    plain = re.sub(r"[^\d*]", "", text)
    spans = ((a, b) for a in range(len(number)) for b in range(a + 1, len(number) + 1))
    return max((b - a for a, b in spans if number[a:b] in plain), default=0)


def shown(seen: list[Observation]) -> str:
    return repr(seen).replace("\\t", " ").partition("金额")[2]


@pytest.mark.parametrize("decoder", [ReceiptDecoder, SnifferDecoder])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_layout_shows_more_than_six_digits_in_a_row(
    layout: str, decoder: type[ReceiptDecoder] | type[SnifferDecoder]
) -> None:
    for encoding in ("gb18030", "utf-8"):
        reader = decoder()
        seen = reader.feed(Direction.TERMINAL, f"{HEAD}{layout}\n".encode(encoding)) + reader.finish()
        assert any(isinstance(each, Receipt) for each in seen)
        assert max(longest_shown(shown(seen), number) for number in (PAN, LONG, WRONG)) <= 6


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_recording_shows_no_more(layout: str) -> None:
    for encoding in ("gb18030", "utf-8"):
        masker = PaperMasker()
        data = f"{HEAD}{layout}\n".encode(encoding)
        out = masker.feed(Direction.TERMINAL, data) + masker.silence(Direction.TERMINAL)
        assert not any(isinstance(piece, LeftOut) for piece in out)
        kept = b"".join(piece for piece in out if isinstance(piece, bytes))
        assert len(kept) == len(data)
        text = kept.decode(encoding, "replace").partition("金额")[2]
        assert max(longest_shown(text, number) for number in (PAN, LONG, WRONG)) <= 6


@pytest.mark.parametrize("before", range(1000, 1030))
def test_a_number_across_the_end_of_an_endless_line_is_hidden(before: int) -> None:
    reader = ReceiptDecoder()
    seen = reader.feed(Direction.TERMINAL, (HEAD + "x" * before + PAN + "\n").encode("gb18030")) + reader.finish()
    assert longest_shown(shown(seen), PAN) <= 6


@pytest.mark.parametrize("torn", range(1, 17))
def test_a_line_torn_off_shows_nothing_of_a_number_and_states_no_amount(torn: int) -> None:
    reader = ReceiptDecoder()
    begun = HEAD.replace("金额", f"卡号:{PAN[:torn]}\n金额").encode("gb18030")
    for cut in range(len(begun) - 20, len(begun)):
        seen = reader.feed(Direction.TERMINAL, begun[:cut]) + reader.reset()
        assert longest_shown(repr(seen), PAN) <= 6
        assert [each.facts.amount for each in seen] == [None]


def test_what_an_amount_becomes_is_known_when_its_line_has_ended() -> None:
    reader = ReceiptDecoder()
    (seen,) = reader.feed(Direction.TERMINAL, HEAD.encode("gb18030")) + reader.reset()
    assert seen.facts.amount == 1234
    assert isinstance(seen, Receipt)
    assert seen.slip is not None
    assert seen.slip.outcome is Outcome.UNKNOWN


def test_numbers_in_columns_are_left_alone() -> None:
    rows = ("20240607 12.34 0001 0002", "1234 5678 9012", "2024-06-07 09:30:15", "参考号:240607100001")
    reader = ReceiptDecoder()
    seen = reader.feed(Direction.TERMINAL, (HEAD + "\n".join(rows) + "\n").encode("gb18030")) + reader.finish()
    assert seen[0].text[-4:] == rows
