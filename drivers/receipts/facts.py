"""From the labelled values of a slip to the contract's facts. A value that does not look like one is left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from drivers.cards import MaskedCard, mask
from drivers.currencies import numeric
from drivers.observations import Facts
from drivers.receipts.labels import Labelled
from drivers.receipts.text import is_card_like

_WALLETS: tuple[tuple[str, str], ...] = (
    (r"微信|WECHAT", "wechat"),
    (r"支付宝|ALIPAY", "alipay"),
    (r"云闪付|银联二维码|QUICKPASS", "unionpay_qr"),
)
_MONEY = re.compile(
    r"(?P<minus>-)?\s*(?P<unit>RMB|CNY|[A-Z]{3}|¥|元)?\s*[:¥]?\s*(?P<minus2>-)?\s*"
    r"(?<![\d.,])(?P<whole>\d{1,3}(?:,\d{3}){1,3}|\d{1,10})(?:\.(?P<part>\d{1,2}))?(?![\d,.])"
)
_CARD = re.compile(r"(?P<number>[\d*X]{4,19}(?:[ -][\d*X]{2,8}){0,5})\s*(?:[/(]?\s*(?P<entry>[SICWMFNQ])\b)?")
_DAY = re.compile(
    r"(?<!\d)(20\d{2})(?:\s?[-/.年]\s?(\d{1,2})\s?[-/.月]\s?(\d{1,2})日?|(\d{2})(\d{2}))(?=\D|\d{6}(?!\d)|$)"
)
_CLOCK = re.compile(r"(\d{2}):?(\d{2})(?::?(\d{2}))?")
_CODE = r"[0-9A-Za-z]"
#: how the value of a fact looks; what does not look like it is not taken
_SHAPES = {
    "merchant_id": _CODE + "{6,20}",
    "terminal_id": _CODE + "{4,20}",
    "batch": r"\d{1,12}",
    "trace": r"\d{1,12}",
    "approval_code": _CODE + "{2,10}",
    "reference": _CODE + "{6,20}",
    "response_code": _CODE + "{2,4}",
    "original_trace": r"\d{1,12}",
    "original_reference": _CODE + "{6,20}",
    "original_date": r"[\d/-]{4,10}",
    "original_approval_code": _CODE + "{2,10}",
    **dict.fromkeys(("order", "original_order"), r"[0-9A-Za-z_-]{6,64}"),
    **dict.fromkeys(("wechat_order", "alipay_order", "channel_order"), r"[0-9A-Za-z_-]{6,64}"),
    "operator": r"\w{1,12}",
}

#: the facts' own names of what the driver adds (Facts.extra)
_EXTRA = (
    *("operator", "original_trace", "original_reference", "original_date", "original_approval_code", "original_order"),
)


def facts_of(values: Sequence[Labelled], whole: str, with_amount: bool = True) -> Facts:
    """What the labels tell. `whole` is the slip's text; a settlement slip has no amount of its own."""
    first: dict[str, Labelled] = {}
    for value in values:
        if value.value:
            first.setdefault(value.name, value)
    shaped = {name: _shaped(first[name].value, shape) for name, shape in _SHAPES.items() if name in first}
    amount, currency = _money(first.get("amount") or first.get("paid")) if with_amount else (None, None)
    card, entry = _card(first.get("card"))
    wallet = _wallet(first)
    extra: list[tuple[str, str | int]] = [(name, found) for name in _EXTRA if (found := shaped.get(name))]
    extra += [("entry", entry)] if entry else []
    extra += [("wallet", wallet)] if wallet else []
    for name in ("paid", "discount"):
        part, _ = _money(first.get(name))
        if part is not None and amount is not None and part not in (0, amount):
            extra.append((name, part))
    return Facts(
        amount=amount,
        currency=currency,
        response_code=shaped.get("response_code"),
        trace=shaped.get("trace"),
        batch=shaped.get("batch"),
        reference=shaped.get("reference"),
        approval_code=shaped.get("approval_code"),
        terminal_id=shaped.get("terminal_id"),
        merchant_id=shaped.get("merchant_id"),
        card=card,
        order=shaped.get("order"),
        channel_order=shaped.get("wechat_order") or shaped.get("alipay_order") or shaped.get("channel_order"),
        terminal_time=_time(first, whole),
        extra=tuple(extra),
    )


def _shaped(value: str, shape: str) -> str | None:
    """The value's first word, where it is of that shape and holds no card number, whole or in groups."""
    found = re.match(rf"{shape}(?![0-9A-Za-z*])", value)
    if found is None:
        return None
    group = re.match(r"\d+(?:[ -]\d+)*", value)
    runs = [*re.findall(r"\d+(?:[-_]\d+)*", found.group()), *re.findall(r"\d+", found.group())]
    suspects = [*runs, group.group() if group else ""]
    return None if any(is_card_like(re.sub(r"\D", "", run)) for run in suspects) else found.group()


def _money(value: Labelled | None) -> tuple[int | None, str | None]:
    """An amount in minor units as printed, a void's with its minus; and its currency."""
    found = _MONEY.search(value.value.upper()) if value else None
    if value is None or found is None:
        return None, None
    minor = int(found["whole"].replace(",", "")) * 100 + int((found["part"] or "0").ljust(2, "0"))
    return (-minor if found["minus"] or found["minus2"] else minor), _currency(value)


def _currency(value: Labelled) -> str | None:
    words = re.findall(r"RMB|[A-Z]{3}|[¥元]", f"{value.inside} {value.value}".upper())
    if any(word in ("RMB", "CNY", "¥", "元") for word in words):
        return "CNY"
    return next((word for word in words if numeric(word)), None)


def _card(value: Labelled | None) -> tuple[MaskedCard | None, str | None]:
    """The card, masked, and how it was read: the letter behind its number."""
    found = _CARD.match(value.value.upper()) if value else None
    card = mask(found["number"]) if found else None
    return card, found["entry"] if found and card else None


def _wallet(first: dict[str, Labelled]) -> str | None:
    for name, wallet in (("wechat_order", "wechat"), ("alipay_order", "alipay")):
        if name in first:
            return wallet
    said = " ".join(first[name].value for name in ("type", "method") if name in first).upper()
    return next((wallet for pattern, wallet in _WALLETS if re.search(pattern, said)), None)


def _time(first: dict[str, Labelled], whole: str) -> str | None:
    """The terminal's local time; without its day, or without its hour, it is none."""
    if "time" in first:
        found = _moment(first["time"].value)
    elif "date" in first:
        day = first["date"].value
        found = _moment(day) or _moment(f"{day} {first['clock'].value}" if "clock" in first else "")
    else:
        found = next(_moments(whole.split("\n")), None)
    return found


def _moments(lines: Iterable[str]) -> Iterator[str]:
    yield from (moment for line in lines if (moment := _moment(line)))


def _moment(text: str) -> str | None:
    day = _DAY.search(text)
    clock = _CLOCK.match(text[day.end() :].strip()) if day else None
    if day is None or clock is None:
        return None
    numbers = [int(part) for part in (*day.groups(), *clock.groups()) if part is not None]
    try:
        return datetime(*numbers).strftime("%Y-%m-%d %H:%M:%S")  # type: ignore[arg-type]
    except ValueError:
        return None
