"""Every slip of tests/data/receipts, in every encoding it has, says what expected.json expects of it."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.observations import Direction, Kind, Observation, Outcome, Receipt, ReceiptKind, Settlement, as_dict
from drivers.receipt import ReceiptDecoder

FOLDER = Path(__file__).parents[2] / "data" / "receipts"
EXPECTED = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
SLIPS = sorted(path for path in FOLDER.iterdir() if path.suffix != ".json")
CARD = "6200000000000005"  # stands on the slip of a preauthorisation in full

#: the expectations' short names → the contract's
NAMES = {
    "batch": "batch",
    "trace": "trace",
    "auth": "approval_code",
    "rrn": "reference",
    "tid": "terminal_id",
    "mid": "merchant_id",
    "amount_fen": "amount",
    "resp": "response_code",
    "entry": "entry",
    "wallet": "wallet",
    "merchant_order": "order",
    "channel_order": "channel_order",
    "orig_merchant_order": "original_order",
    "orig_trace": "original_trace",
    "orig_rrn": "original_reference",
    "orig_date": "original_date",
    "kind": "slip",
    "alarm": "alarm",
    "duplicate": "reprint",
}
OUTCOMES = {"approved": Outcome.APPROVED, "declined": Outcome.DECLINED, "outcome_unknown": Outcome.UNKNOWN}
KINDS = {
    "03_void": Kind.VOID,
    "04_refund": Kind.REFUND,
    "05_preauth": Kind.PREAUTHORISATION,
    "07_alipay_scan_refund": Kind.REFUND,
    "11_settlement_balanced": Kind.SETTLEMENT,
    "12_settlement_unbalanced": Kind.SETTLEMENT,
    "13_signin_slip": None,
}


def decoded(data: bytes, direction: Direction = Direction.TERMINAL) -> list[Observation]:
    decoder = ReceiptDecoder()
    return decoder.feed(direction, data) + decoder.finish()


def receipts(data: bytes) -> list[Receipt]:
    return [seen for seen in decoded(data) if isinstance(seen, Receipt)]


each_slip = pytest.mark.parametrize("path", SLIPS, ids=lambda path: path.name)


def test_all_slips_are_there_in_their_encodings() -> None:
    assert {path.stem for path in SLIPS} == set(EXPECTED)
    assert [path.suffix for path in SLIPS].count(".escpos") == 2
    assert len(SLIPS) == 2 * len(EXPECTED) + 2


@each_slip
def test_says_what_is_expected_of_it(path: Path) -> None:
    slip = receipts(path.read_bytes())[0]
    fields = as_dict(slip)["fields"]
    assert isinstance(fields, dict)
    wanted = EXPECTED[path.stem]
    named = {NAMES[name]: value for name, value in wanted.items() if name in NAMES and value != ""}
    assert {name: fields.get(name) for name in named} == named
    if "pan" in wanted:
        assert fields["card"]["masked"] == wanted["pan"]
    assert fields.get("terminal_time") == wanted["datetime"].replace("T", " ")
    assert slip.slip is not None
    assert slip.slip.kind is KINDS.get(path.stem, Kind.PURCHASE)
    if "status" in wanted:
        assert slip.slip.outcome is OUTCOMES[wanted["status"]]
    assert slip.complete
    assert CARD not in repr(slip)


@pytest.mark.parametrize("name", ["11_settlement_balanced", "12_settlement_unbalanced"])
def test_the_totals_of_a_settlement(name: str) -> None:
    settlement, receipt = decoded((FOLDER / f"{name}.gbk").read_bytes())
    assert isinstance(settlement, Settlement)
    assert isinstance(receipt, Receipt)
    wanted = EXPECTED[name]
    rows = {total.name: (total.count, total.amount) for total in settlement.totals}
    assert rows["domestic sale"] == (wanted["sale_n"], wanted["sale_fen"])
    assert rows["domestic refund"] == (wanted["refund_n"], wanted["refund_fen"])
    assert rows["foreign sale"] == (0, 0)
    assert settlement.balanced is wanted["balanced"]
    assert sum(total.net for total in settlement.totals) == wanted["sale_fen"] - wanted["refund_fen"]
    assert receipt.receipt_kind is ReceiptKind.ADMINISTRATION


def test_copies_are_told_apart() -> None:
    kinds = {path.stem[:2]: receipts(path.read_bytes())[0].receipt_kind for path in SLIPS if path.suffix == ".gbk"}
    assert kinds["01"] is kinds["02"] is kinds["06"] is ReceiptKind.MERCHANT
    assert kinds["05"] is ReceiptKind.CUSTOMER
    assert kinds["13"] is ReceiptKind.ADMINISTRATION


def test_the_text_is_as_printed_but_for_cards() -> None:
    path = FOLDER / "05_preauth.txt"
    shown = "\n".join(receipts(path.read_bytes())[0].text)
    assert shown == path.read_text(encoding="utf-8").replace(CARD, "620000******0005").strip("\n")


@each_slip
@given(places=st.lists(st.integers(0, 1200), max_size=8))
@settings(max_examples=15, deadline=None)
def test_the_cuts_of_the_stream_do_not_matter(path: Path, places: list[int]) -> None:
    data = path.read_bytes()
    decoder = ReceiptDecoder()
    seen: list[Observation] = []
    ends = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    for begin, end in pairwise(ends):
        seen += decoder.feed(Direction.TERMINAL, data[begin:end])
    assert seen + decoder.finish() == decoded(data)


def slip_of(*lines: str) -> Receipt:
    (slip,) = receipts("\n".join(lines).encode("gb18030"))
    return slip


@pytest.mark.parametrize(
    ("printed", "amount"),
    [
        ("金额:RMB 3,250.00", 325000),
        ("金額/AMOUNT:RMB 1.00", 100),
        ("金    额:￥１２.５０", 1250),
        ("交易金额：1,234,567.89元", 123456789),
        ("金额(RMB):0.01", 1),
        ("AMOUNT: CNY 12.5", 1250),
        ("金额:RMB -128.50", -12850),
        ("金额:", None),
        ("金额:待定", None),
        ("金额:1.2.3", None),
        ("交易金额未超过1000元免密免签,", None),
    ],
)
def test_amounts_as_they_are_printed(printed: str, amount: int | None) -> None:
    assert slip_of("POS签购单", "终端号:88001234", printed).facts.amount == amount


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (("交易失败",), Outcome.UNKNOWN),
        (("交易失败", "密码错误"), Outcome.DECLINED),
        (("应答码:51",), Outcome.DECLINED),
        (("应答码:98", "交易失败"), Outcome.UNKNOWN),
        (("应答码:00",), Outcome.APPROVED),
        (("应答码:ZQ",), Outcome.UNKNOWN),
        (("TRANSACTION DECLINED",), Outcome.DECLINED),
        ((), Outcome.APPROVED),
    ],
)
def test_what_a_slip_proves(said: tuple[str, ...], outcome: Outcome) -> None:
    slip = slip_of("POS签购单", "交易类型:消费", "凭证号:000011", "金额:RMB 5.00", *said)
    assert slip.slip is not None
    assert slip.slip.outcome is outcome


def test_without_a_number_of_its_own_a_slip_proves_nothing() -> None:
    slip = slip_of("POS签购单", "交易类型:消费", "金额:RMB 5.00")
    assert slip.slip is not None
    assert slip.slip.outcome is None


def test_a_slip_that_was_cut_off_proves_nothing() -> None:
    decoder = ReceiptDecoder()
    decoder.feed(Direction.TERMINAL, (FOLDER / "01_sale_bilingual_unionpay.gbk").read_bytes())
    (slip,) = decoder.reset()
    assert isinstance(slip, Receipt)
    assert not slip.complete
    assert slip.slip is not None
    assert slip.slip.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("printed", ["测试单据,无效", "TESTING", "测试签购单 此单无效"])
def test_a_test_slip_says_so(printed: str) -> None:
    slip = slip_of("POS签购单", printed, "凭证号:000011", "金额:RMB 5.00")
    assert slip.slip is not None
    assert slip.slip.test


FOOTERS = [
    "请妥善保管签购单",
    "凭此签购单办理退货",
    "如需重打印小票请联系收银员",
    "如交易失败请重新刷卡",
    "若交易失败,请与发卡行联系",
    "如有疑问请勿取消交易",
]


@pytest.mark.parametrize("footer", FOOTERS)
def test_words_to_the_cardholder_say_nothing_of_this_slip(footer: str) -> None:
    path = FOLDER / "01_sale_bilingual_unionpay.gbk"
    (slip,) = receipts(path.read_bytes() + f"\n{footer}\n".encode("gbk"))
    assert slip.slip is not None
    assert (slip.slip.outcome, slip.slip.reprint) == (Outcome.APPROVED, False)
    assert slip.text[-1] == footer


def test_a_failure_whose_footer_speaks_of_refusals_stays_unknown() -> None:
    slip = slip_of("POS签购单", "交易类型:消费", "凭证号:000011", "金额:RMB 5.00", "交易失败", "若卡片过期请联系发卡行")
    assert slip.slip is not None
    assert slip.slip.outcome is Outcome.UNKNOWN


def test_other_paper_with_an_amount_is_no_payment() -> None:
    slip = slip_of("门诊收费票据", "订单号:MZ2024060700123", "金额:35.50", "收银员:王")
    assert slip.slip is not None
    assert (slip.slip.kind, slip.slip.outcome) == (Kind.OTHER, None)


def test_the_merchant_above_the_title_belongs_to_the_slip() -> None:
    slip = slip_of(
        "商户名称:示例医院", "商户号:898111180620001", "POS签购单", "交易类型:消费", "凭证号:000011", "金额:5.00"
    )
    assert (slip.facts.merchant_id, slip.facts.amount) == ("898111180620001", 500)


def test_track_data_does_not_stay() -> None:
    slip = slip_of("POS签购单", "终端号:88001234", ";6200000000000005=30121010000012345678?")
    assert slip.text[-1] == ";620000******0005=********************?"


def test_english_labels_alone() -> None:
    slip = slip_of(
        *("SALES SLIP", "CUSTOMER COPY", "MERCHANT NO.: 898111180620001", "TERMINAL NO  88001234", "TXN TYPE: REFUND"),
        *("BATCH NO: 000009  VOUCHER NO: 000123", "REF. NO: 240607100001", "DATE: 2024/06/07  TIME: 09:30:15"),
        "AMOUNT: CNY 7.00",
    )
    assert (slip.receipt_kind, slip.facts.amount, slip.facts.trace) == (ReceiptKind.CUSTOMER, 700, "000123")
    assert (slip.facts.batch, slip.facts.reference) == ("000009", "240607100001")
    assert slip.facts.terminal_time == "2024-06-07 09:30:15"
    assert (slip.facts.terminal_id, slip.facts.merchant_id) == ("88001234", "898111180620001")
    assert slip.slip is not None
    assert slip.slip.kind is Kind.REFUND


def test_what_was_paid_beside_what_was_due() -> None:
    slip = slip_of("扫码支付签购单", "商户订单号:10172024060709", "金额:RMB 100.00", "优惠金额:10.00", "实付金额:90.00")
    assert slip.facts.amount == 10000
    assert dict(slip.facts.extra) == {"paid": 9000, "discount": 1000}
