"""Reads one slip: lines of text in, what it says out.

There is no line "approved" on an approved slip (receipts of UnionPay terminals): it is one with an amount and a number
of its own, and without any sign of failure. A failed one is declined when its response code, or its words, say that
the bank or the patient refused; else nobody knows. A slip that was not read to its end proves no outcome.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from drivers import codes
from drivers.observations import Alarm, Facts, Kind, Outcome, ReceiptKind, Slip, Total
from drivers.receipts import settlement
from drivers.receipts.facts import facts_of
from drivers.receipts.labels import Labelled, labelled
from drivers.receipts.text import card_hidden, masked, narrowed

#: the table of response codes that these terminals print
CODES = "cup"

#: how a slip's first line reads, its blanks taken out; with one of _ADVISES it is a word to the cardholder
_TITLE = re.compile(
    r"^\S{0,20}(?:签购单|凭条|总计单|结算单|故障报告单|签到成功|交易凭证|交易小票|支付凭证|SALES(?:SLIP|DRAFT)|SETTLEMENT)"
    r"(?:[,(/].{0,24})?\W*$|^\W*RECEIPT\W*$"
)
_LONGEST_TITLE = 40
_SALES = re.compile(r"签购单|支付凭证|SALES(?:SLIP|DRAFT)")
_ADVISES = re.compile(r"请|如需|如有|若|保管|保留|妥善|此|凭本")
_REPRINT = re.compile(r"重打印|重新打印|补打|DUPLICATED?|REPRINT", re.IGNORECASE)
_TEST = re.compile(r"测试.{0,12}无效|TESTING|测试单据|测试交易", re.IGNORECASE)
_REVERSAL_FAILED = re.compile(r"冲正(?:不成功|失败)")
_OFFLINE_LOST = re.compile(r"未成功上送的?离线交易")
_FAILED = re.compile(
    r"(?<![如若遇当果])(?:交易失败|交易不成功|交易拒绝|支付失败)|TRANSACTIONFAILED|DECLINED", re.IGNORECASE
)
#: why a bank or a patient refuses, on slips without a response code
_REFUSED = re.compile(
    "余额不足|密码错|密码不正确|超限|超出.{0,6}限额|拒绝|无效卡|过期|挂失|没收|取消|DECLINED", re.IGNORECASE
)
_LONGEST_REASON = 24
_COPIES: tuple[tuple[str, ReceiptKind], ...] = (
    (r"商户(?:存根|联)|MERCHANT\sCOPY", ReceiptKind.MERCHANT),
    (r"(?:持卡人|客户|顾客)(?:存根|联)|(?:CARDHOLDER|CUSTOMER)\sCOPY", ReceiptKind.CUSTOMER),
    (r"银行(?:存根|联)|BANK\sCOPY", ReceiptKind.ADMINISTRATION),
)
#: words of a type → the slip's name, what it is in the contract's words; the first that fits
_TYPES: tuple[tuple[str, str, Kind | None], ...] = (
    (r"预授权(?:完成)?撤销|AUTH\w*\s+(?:COMPLETE\s+)?VOID", "void", Kind.VOID),
    (r"预授权完成|AUTH\w*\s+(?:COMPLETE|SETTLEMENT)|PRE-?AUTH\s+COMPLETION", "completion", Kind.COMPLETION),
    (r"预授权|PRE-?AUTH", "preauth", Kind.PREAUTHORISATION),
    (r"撤销|VOID", "void", Kind.VOID),
    (r"退货|退款|REFUND", "refund", Kind.REFUND),
    (r"余额|BALANCE", "balance", Kind.BALANCE),
    (r"圈存|\bLOAD\b", "load", Kind.OTHER),
    (r"消费|支付|收款|SALE|PURCHASE|PAYMENT", "sale", Kind.PURCHASE),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What a slip says: its marks, its facts, whose copy it is, its text without card numbers.

    `slip` is None where it is none of a known kind; `totals` and `balanced` are those of a settlement slip.
    """

    slip: Slip | None
    facts: Facts
    copy: ReceiptKind | None
    text: tuple[str, ...]
    totals: tuple[Total, ...] = ()
    balanced: bool | None = None


def is_title(line: str) -> bool:
    """Whether a slip may begin with this line."""
    plain = re.sub(r"\s", "", narrowed(line))
    if len(plain) > _LONGEST_TITLE or ":" in plain or _ADVISES.search(plain):
        return False
    return _TITLE.search(plain.upper()) is not None


def is_mark(line: str) -> bool:
    """Whether the line is one that may stand above a title: a reprint, a test, a rule, nothing."""
    plain = narrowed(line).strip()
    return not plain.strip("-=*_. ") or _bears(_REPRINT, [plain]) or _bears(_TEST, [plain])


def _bears(mark: re.Pattern[str], lines: Iterable[str]) -> bool:
    """Whether a line bears the mark, and does not only speak of it to the cardholder."""
    return any(mark.search(line) and not _ADVISES.search(re.sub(mark, "", line)) for line in lines)


def read(lines: Sequence[str], complete: bool = True) -> Read:
    """What the lines of one slip say. `complete`: whether they are all of it."""
    values = list(labelled(lines))
    whole = "\n".join(narrowed(line) for line in lines)
    squeezed = re.sub(r"[^\S\n]", "", whole)
    closing = settlement.is_settlement(lines)
    facts = facts_of(values, whole, with_amount=not closing)
    name, kind = ("settlement", Kind.SETTLEMENT) if closing else _type(lines, values, squeezed, facts)
    alarm = _alarm(squeezed)
    why = [value.value for value in values if value.name == "response"] + [
        line for line in squeezed.split("\n") if len(line) <= _LONGEST_REASON and not _ADVISES.search(line)
    ]
    outcome = _outcome(facts, kind, squeezed, why, alarm) if complete else _unproven(kind, facts)
    slip = None
    if name:
        reprint, test = _bears(_REPRINT, whole.split("\n")), _bears(_TEST, whole.split("\n"))
        slip = Slip(name=name, kind=kind, outcome=outcome, alarm=alarm, reprint=reprint, test=test)
    return Read(
        slip=slip,
        facts=facts,
        copy=_copy(whole, administration=closing or (slip is not None and kind is None)),
        text=_shown(lines, values, facts),
        totals=settlement.totals(lines) if closing else (),
        balanced=settlement.balanced(lines) if closing else None,
    )


def _type(lines: Sequence[str], values: Sequence[Labelled], squeezed: str, facts: Facts) -> tuple[str, Kind | None]:
    """The slip's name and kind; no name when it is none that is known."""
    said = " ".join(value.value for value in values if value.name == "type").upper()
    for pattern, name, kind in _TYPES:
        if said and re.search(pattern, said):
            return ("qr_" + name if "wallet" in dict(facts.extra) else name), kind
    if "签到成功" in squeezed:
        return "sign_in", None
    if re.search("交易总计单|交易汇总", squeezed):
        return "totals", None
    if facts.amount is None:
        return "", None
    # "Sales slip" is what the title says where no line names a type. Any other paper with an amount may be anything.
    of_sales = any(is_title(line) and _SALES.search(re.sub(r"\s", "", narrowed(line)).upper()) for line in lines)
    return ("sale", Kind.PURCHASE) if of_sales else ("other", Kind.OTHER)


def _alarm(squeezed: str) -> Alarm | None:
    if _REVERSAL_FAILED.search(squeezed):
        return Alarm.REVERSAL_FAILED
    return Alarm.OFFLINE_LOST if _OFFLINE_LOST.search(squeezed) else None


def _outcome(facts: Facts, kind: Kind | None, squeezed: str, why: Sequence[str], alarm: Alarm | None) -> Outcome | None:
    if alarm is not None:
        return Outcome.UNKNOWN
    if kind in (None, Kind.SETTLEMENT):
        return Outcome.APPROVED if kind or "签到成功" in squeezed else None
    return None if kind is Kind.OTHER else _of_payment(facts, squeezed, why)


def _of_payment(facts: Facts, squeezed: str, why: Sequence[str]) -> Outcome | None:
    stated = codes.meaning(CODES, facts.response_code)
    if stated is not None and stated.outcome is not Outcome.APPROVED:
        return stated.outcome
    if _FAILED.search(squeezed):
        return Outcome.DECLINED if any(map(_REFUSED.search, why)) else Outcome.UNKNOWN
    if facts.response_code not in (None, "00") and stated is None:
        return Outcome.UNKNOWN
    return Outcome.APPROVED if _is_full(facts) else None


def _unproven(kind: Kind | None, facts: Facts) -> Outcome | None:
    """Of a slip that was not read to its end: a payment is under way or over, and nothing more is sure."""
    return Outcome.UNKNOWN if kind is not None and kind.moves_money and _is_full(facts) else None


def _is_full(facts: Facts) -> bool:
    numbered = (facts.trace, facts.reference, facts.order, facts.channel_order)
    return facts.amount is not None and any(number is not None for number in numbered)


def _copy(whole: str, administration: bool) -> ReceiptKind | None:
    if administration:
        return ReceiptKind.ADMINISTRATION
    return next((kind for pattern, kind in _COPIES if re.search(pattern, whole, re.IGNORECASE)), None)


def _shown(lines: Sequence[str], values: Sequence[Labelled], facts: Facts) -> tuple[str, ...]:
    """The text as it may be kept: without card numbers, without a card's expiry date."""
    known = {str(value) for value in (*_numbers(facts),) if value is not None}
    out = list(lines)
    for value in values:
        if not value.value or value.name not in ("expiry", "card"):
            continue
        begin = narrowed(out[value.row]).rfind(value.value)
        if begin < 0:  # another value of that line has hidden it already
            continue
        end = begin + len(value.value)
        if value.name == "expiry":
            out[value.row] = out[value.row][:begin] + re.sub(r"\d", "*", value.value) + out[value.row][end:]
            continue
        hidden, so_far = card_hidden(value.value)
        out[value.row] = out[value.row][:begin] + hidden + out[value.row][end:]
        if so_far and value.row + 1 < len(out) and re.match(r"\s*[\d*]", out[value.row + 1]):
            out[value.row + 1] = card_hidden(out[value.row + 1], so_far)[0]
    return tuple(masked(line, known) for line in out)


def _numbers(facts: Facts) -> tuple[str | int | None, ...]:
    named = (facts.merchant_id, facts.terminal_id, facts.trace, facts.reference, facts.order, facts.channel_order)
    return (*named, *(value for name, value in facts.extra if name.startswith("original_")))
