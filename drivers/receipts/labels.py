"""The labels on receipts, in Chinese and English, and the values behind them.

A label stands before `:` (or `：`), with or without its English name in brackets or behind a slash; at the beginning of
a line it may also stand alone or before blanks. Its value is behind it, or in the next line where that is no label
itself. Several labels may share a line. Source: receipt printing of UnionPay terminals as public firmware and demos
show it (docs/receipts.md lists them); confidence: high for UnionPay's own, medium for those of single acquirers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from drivers.receipts.text import narrowed

#: what a label names → how it is written. The names without a fact behind them keep their values out of others'
LABELS: dict[str, tuple[str, ...]] = {
    "merchant": ("商户名称", "商户名", "特约商户名称", "特约商户", "MERCHANT NAME", "MERCHANT"),
    "merchant_id": ("商户编号", "商户号", "商户代码", "MERCHANT NO", "MERCHANT CODE", "MERCHANT ID", "MID"),
    "terminal_id": ("终端编号", "终端号", "TERMINAL NO", "TERMINAL ID", "TID"),
    "operator": ("操作员号", "操作员", "收银员", "OPERATOR NO", "OPERATOR"),
    "issuer": ("发卡行", "发卡行号", "发卡机构", "ISSUER", "ISS NO"),
    "acquirer": ("收单行", "收单机构", "收单行号", "ACQUIRER", "ACQ"),
    "card": ("卡号", "CARD NO", "CARD NUMBER"),
    "expiry": ("有效期", "卡有效期", "EXP DATE"),
    "type": ("交易类型", "交易类别", "消费类别", "TXN TYPE", "TRANS TYPE", "TRANSACTION TYPE"),
    "method": ("付款方式", "支付方式", "PAY TYPE"),
    "batch": ("批次号", "BATCH NO", "BATCH"),
    "trace": ("凭证号", "票据号", "流水号", "VOUCHER NO", "TRACE NO", "TRACE", "INVOICE NO", "INVOICE"),
    "approval_code": ("授权码", "授权号", "AUTH NO", "AUTH CODE", "APPROVAL CODE"),
    "reference": ("参考号", "交易参考号", "系统参考号", "检索参考号", "REF NO", "REFER NO", "RRN"),
    "time": ("日期/时间", "日期时间", "交易时间", "交易日期时间", "DATE/TIME", "DATE TIME"),
    "date": ("日期", "交易日期", "DATE"),
    "clock": ("时间", "TIME"),
    "amount": ("金额", "交易金额", "消费金额", "支付金额", "退款金额", "退货金额", "撤销金额", "AMOUNT", "TOTAL"),
    "paid": ("实付金额", "实收金额"),
    "discount": ("优惠金额", "折扣金额"),
    "balance": ("余额", "可用余额", "BALANCE"),
    "original_trace": ("原凭证号", "原票据号", "原流水号", "ORIGINAL TRACE", "ORIG TRACE"),
    "original_reference": ("原参考号", "原交易参考号", "原系统参考号"),
    "original_date": ("原交易日期", "原日期"),
    "original_approval_code": ("原预授权码", "原授权码"),
    "original_order": ("原商户订单号", "原订单号"),
    "order": ("商户订单号", "商户单号", "订单号", "ORDER NO"),
    "wechat_order": ("微信订单号", "微信支付单号", "微信支付订单号"),
    "alipay_order": ("支付宝交易号", "支付宝订单号", "支付宝单号"),
    "channel_order": ("渠道单号", "渠道订单号", "付款凭证号", "银商订单号", "交易单号", "第三方订单号"),
    "response_code": ("应答码", "返回码", "RESP CODE", "RESPONSE CODE"),
    "response": ("应答信息", "发卡行返回", "中心返回", "收单行返回", "返回信息"),
    "chip": (
        *("ARQC", "TC", "TVR", "AID", "TSI", "ATC", "APPLAB", "APPNAME", "PAN SN", "CSN", "AIP", "UNPRNUM", "IAD"),
        "应用首选名",
    ),
    "remark": ("备注", "REMARK"),
}
_NAME_OF = {re.sub(r"[\s.]", "", written): name for name, all_ in LABELS.items() for written in all_}


def _pattern(written: str) -> str:
    """A label as printed: Chinese ones stretched with blanks, English ones with dots."""
    if written.isascii():
        return r"\.?\s{0,2}".join(map(re.escape, written.split())) + r"\.?"
    return r"\s{0,4}".join(map(re.escape, written))


_ANY = "|".join(_pattern(written) for written in sorted((w for all_ in LABELS.values() for w in all_), key=len)[::-1])
#: tried before the labels themselves, which are many
_FIRST = "".join(sorted({letter for all_ in LABELS.values() for w in all_ for letter in (w[0], w[0].lower())}))
_LABEL = re.compile(
    rf"(?=[{_FIRST}])(?<![A-Za-z\u4e00-\u9fff])(?P<label>{_ANY})(?![A-Za-z\u4e00-\u9fff])"
    r"(?:\s{0,2}\((?P<inside>[^()]{1,24})\)|\s{0,2}/[A-Z][A-Z. ]{1,20})?\s{0,8}(?P<colon>:)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Labelled:
    """A label's value, and the line that it stands in. `inside` is what stands in the label's brackets."""

    name: str
    value: str
    row: int
    inside: str = ""


def labelled(lines: Sequence[str]) -> Iterator[Labelled]:
    """All labels of a slip with their values, in order; a label without a value has an empty one."""
    plain = [narrowed(line) for line in lines]
    found = [list(_labels_in(line)) for line in plain]
    for row, (line, here) in enumerate(zip(plain, found, strict=True)):
        ends = [*(label.start() for label in here[1:]), len(line)][: len(here)]
        for label, end in zip(here, ends, strict=True):
            value, at = line[label.end() : end].strip(), row
            if not value and label is here[-1]:
                value, at = _next_value(plain, found, row)
            name = _NAME_OF[re.sub(r"[\s.]", "", label["label"].upper())]
            yield Labelled(name, value, at, label["inside"] or "")


def has_label(line: str) -> bool:
    """Whether a line begins with a label."""
    return next(_labels_in(narrowed(line)), None) is not None


def _labels_in(line: str) -> Iterator[re.Match[str]]:
    """The labels of a line: the first may stand without a colon at its beginning, others need one."""
    for found in _LABEL.finditer(line):
        before, behind = line[: found.start("label")], line[found.end() : found.end() + 1]
        leads = not before.strip() and (not behind or line[found.end() - 1].isspace())
        if found["colon"] or leads:
            yield found


def _next_value(plain: list[str], found: list[list[re.Match[str]]], row: int) -> tuple[str, int]:
    for at in range(row + 1, min(row + 3, len(plain))):
        if value := plain[at].strip():
            return ("", row) if found[at] else (value, at)
    return "", row
