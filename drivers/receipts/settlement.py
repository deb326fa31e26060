"""The totals of a settlement slip (结算总计单): rows of name, count and amount, a block for each kind of card."""

from __future__ import annotations

import re
from collections.abc import Sequence

from drivers.observations import Kind, Total
from drivers.receipts.text import narrowed

_TITLE = re.compile(r"结算总计单|结算单|SETTLEMENT(?!/)", re.IGNORECASE)
_TITLE_WITHIN = 6  # lines from the top
_BLOCK = re.compile(r"\s*(?P<name>内卡|外卡|DOMESTIC|FOREIGN)[^:]{0,12}:?(?P<said>.*)", re.IGNORECASE)
_ROW = re.compile(r"\s*(?P<name>\S.{0,30}?)\s+(?P<count>\d{1,6})\s+(?P<amount>-?[\d,]{1,15}\.\d\d)\s*")
_BALANCED = re.compile(r"对[帐账]\s*(?P<not>不平|不符|出错|错误)?\s*平?|(?P<even>BALANCED)")

#: how a row is called → its name here, and what it counts; the first that fits
_ROWS: tuple[tuple[str, str, Kind | None], ...] = (
    ("退货|退款|REFUND", "refund", Kind.REFUND),
    ("撤销|VOID", "void", Kind.VOID),
    ("预授权完成|完成|COMPLETE", "completion", Kind.COMPLETION),
    ("离线|OFFLINE", "offline", Kind.PURCHASE),
    ("圈存|LOAD", "load", None),
    ("消费|SALE|支付|收款", "sale", Kind.PURCHASE),
)
_BLOCKS = {"内卡": "domestic", "外卡": "foreign", "DOMESTIC": "domestic", "FOREIGN": "foreign"}


def is_settlement(lines: Sequence[str]) -> bool:
    """Whether the slip's title says that the batch was closed. A list of totals so far (交易总计单) closes nothing."""
    plain = (re.sub(r"\s", "", narrowed(line)) for line in lines[:_TITLE_WITHIN])
    return any(":" not in line and _TITLE.search(line) for line in plain)


def totals(lines: Sequence[str]) -> tuple[Total, ...]:
    """The rows, each named by its block and what it counts ("domestic sale"). Amounts in minor units."""
    block = ""
    rows: list[Total] = []
    for line in map(narrowed, lines):
        if found := _BLOCK.match(line):
            block = _BLOCKS[found["name"].upper()] + " "
        elif row := _ROW.fullmatch(line):
            name, kind = _named(row["name"])
            amount = int(row["amount"].replace(",", "").replace(".", ""))
            rows.append(Total(f"{block}{name}", int(row["count"]), amount, kind))
    return tuple(rows)


def balanced(lines: Sequence[str]) -> bool | None:
    """Whether the terminal agrees with its host in all blocks; None when it does not say."""
    said = [found for line in lines for found in _BALANCED.finditer(re.sub(r"\s", "", narrowed(line)))]
    return all(found["not"] is None for found in said) if said else None


def _named(name: str) -> tuple[str, Kind | None]:
    for pattern, known, kind in _ROWS:
        if re.search(pattern, name, re.IGNORECASE):
            return known, kind
    return name, None
