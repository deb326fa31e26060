"""Writes entries in two of the shipped formats: for the demonstration, for tests, for whoever builds an export.

`his-generic`: what to ask the vendor of a HIS for. `allinpay`: the 34 columns as published.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from collector.ledger.entries import Entry, EntryKind

_ZONE = ZoneInfo("Asia/Shanghai")
HIS_COLUMNS = (
    "收费单号", "收费时间", "窗口", "终端号", "业务", "金额", "参考号", "凭证号", "批次号", "渠道单号", "卡号后四位",
)  # fmt: skip
_HIS_KINDS = {EntryKind.PURCHASE: "收费"}
ALLINPAY_COLUMNS = (
    "商户号", "门店名称", "终端号", "交易时间", "交易类型", "交易批次号", "凭证号", "参考号", "卡号", "卡类别",
    "发卡行机构代码", "发卡行名称", "交易金额", "手续费", "交易日期", "交易单号", "订单号", "商户备注", "对接应用号",
    "原始金额", "结算金额", "产品类型", "分期贴息", "交易完成时间", "持卡人姓名", "持卡人身份证", "分期数", "优惠金额",
    "实付金额", "原交易单", "渠道交易类型", "出金方账户名称", "门店编号", "交易完成日期",
)  # fmt: skip
_ALLINPAY_KINDS = {
    EntryKind.PURCHASE: "消费",
    EntryKind.VOID: "消费撤销",
    EntryKind.REFUND: "退货",
    EntryKind.REVERSAL: "冲正",
}


def write_his_generic(path: Path, entries: Iterable[Entry], encoding: str = "gb18030") -> None:
    """The HIS's bookings with a line of totals; refunds are negative."""
    rows: list[Sequence[str]] = []
    paid = returned = 0
    for entry in entries:
        back = entry.kind.takes_back
        paid, returned = (paid, returned + entry.amount) if back else (paid + entry.amount, returned)
        rows.append(
            (
                entry.order or "",
                _moment(entry, "%Y-%m-%d %H:%M:%S"),
                "",
                entry.terminal_id or "",
                _HIS_KINDS.get(entry.kind, "退费"),
                _yuan(entry.signed),
                entry.reference or "",
                entry.trace or "",
                entry.batch or "",
                entry.channel_order or "",
                entry.last4 or "",
            )
        )
    rows.append(("合计", str(len(rows)), _yuan(paid), _yuan(returned)))
    _write(path, [HIS_COLUMNS, *rows], encoding)


def write_allinpay(path: Path, entries: Iterable[Entry], encoding: str = "utf-8") -> None:
    """The acquirer's detail. Personal columns stay empty."""
    rows = []
    for entry in entries:
        row = dict.fromkeys(ALLINPAY_COLUMNS, "")
        row |= {
            "商户号": entry.merchant_id or "",
            "终端号": entry.terminal_id or "",
            "交易时间": _moment(entry, "%H:%M:%S"),
            "交易类型": _ALLINPAY_KINDS[entry.kind],
            "交易批次号": entry.batch or "",
            "凭证号": entry.trace or "",
            "参考号": entry.reference or "",
            "卡号": entry.card or "",
            "交易金额": _yuan(entry.amount),
            "手续费": _yuan(entry.fee or 0),
            "交易日期": _moment(entry, "%Y-%m-%d"),
            "交易单号": entry.channel_order or "",
            "订单号": entry.order or "",
            "原始金额": _yuan(entry.amount),
            "结算金额": _yuan(entry.amount - (entry.fee or 0)),
            "原交易单": entry.original or "",
        }
        rows.append(tuple(row.values()))
    _write(path, [ALLINPAY_COLUMNS, *rows], encoding)


def _write(path: Path, rows: Iterable[Sequence[str]], encoding: str) -> None:
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, lineterminator="\r\n").writerows(rows)


def _moment(entry: Entry, form: str) -> str:
    return "" if entry.time_us is None else datetime.fromtimestamp(entry.time_us // 1_000_000, _ZONE).strftime(form)


def _yuan(amount: int) -> str:
    return f"{'-' if amount < 0 else ''}{abs(amount) // 100}.{abs(amount) % 100:02d}"
