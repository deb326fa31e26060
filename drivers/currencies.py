"""ISO 4217 currencies by their numeric code, as terminals send them, and their minor units."""

from __future__ import annotations

# numeric code: (letters, digits behind the decimal point)
_CURRENCIES: dict[str, tuple[str, int]] = {
    "036": ("AUD", 2),
    "124": ("CAD", 2),
    "156": ("CNY", 2),
    "203": ("CZK", 2),
    "208": ("DKK", 2),
    "344": ("HKD", 2),
    "348": ("HUF", 2),
    "356": ("INR", 2),
    "360": ("IDR", 2),
    "376": ("ILS", 2),
    "392": ("JPY", 0),
    "410": ("KRW", 0),
    "414": ("KWD", 3),
    "446": ("MOP", 2),
    "458": ("MYR", 2),
    "504": ("MAD", 2),
    "578": ("NOK", 2),
    "608": ("PHP", 2),
    "643": ("RUB", 2),
    "682": ("SAR", 2),
    "702": ("SGD", 2),
    "704": ("VND", 0),
    "710": ("ZAR", 2),
    "752": ("SEK", 2),
    "756": ("CHF", 2),
    "764": ("THB", 2),
    "784": ("AED", 2),
    "788": ("TND", 3),
    "826": ("GBP", 2),
    "840": ("USD", 2),
    "901": ("TWD", 2),
    "946": ("RON", 2),
    "949": ("TRY", 2),
    "950": ("XAF", 0),
    "952": ("XOF", 0),
    "953": ("XPF", 0),
    "975": ("BGN", 2),
    "978": ("EUR", 2),
    "985": ("PLN", 2),
    "986": ("BRL", 2),
}
_NUMERIC = {letters: numeric for numeric, (letters, _) in _CURRENCIES.items()}


def alpha(numeric: str) -> str | None:
    """The three letters of a numeric code ("978" is "EUR"); None when it is not known here."""
    known = _CURRENCIES.get(numeric.zfill(3))
    return known[0] if known else None


def numeric(letters: str) -> str | None:
    """The three digits of a currency's letters; None when it is not known here."""
    return _NUMERIC.get(letters)


def decimals(letters: str) -> int:
    """How many digits of an amount in minor units stand behind the decimal point; 2 where nothing is known."""
    return _CURRENCIES.get(_NUMERIC.get(letters, ""), ("", 2))[1]
