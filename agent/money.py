"""Amounts for people. Inside, an amount is always an integer of minor units."""

from __future__ import annotations

#: currencies without minor units, and with three digits of them (ISO 4217)
DIGITS = {"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "BHD": 3, "KWD": 3, "JOD": 3, "TND": 3}


def show_amount(amount: int | None, currency: str | None) -> str:
    """`35.50 CNY`; `-` where the amount is not known."""
    if amount is None:
        return "-"
    digits = DIGITS.get(currency or "", 2)
    sign, units = ("-" if amount < 0 else ""), abs(amount)
    whole, rest = divmod(units, 10**digits)
    number = f"{sign}{whole}.{rest:0{digits}d}" if digits else f"{sign}{whole}"
    return f"{number} {currency}" if currency else number
