"""ISO 4217 currencies by their numeric code, as terminals send them."""

from __future__ import annotations

_LETTERS: dict[str, str] = {
    "036": "AUD",
    "124": "CAD",
    "156": "CNY",
    "203": "CZK",
    "208": "DKK",
    "344": "HKD",
    "348": "HUF",
    "356": "INR",
    "360": "IDR",
    "376": "ILS",
    "392": "JPY",
    "410": "KRW",
    "414": "KWD",
    "446": "MOP",
    "458": "MYR",
    "504": "MAD",
    "578": "NOK",
    "608": "PHP",
    "643": "RUB",
    "682": "SAR",
    "702": "SGD",
    "704": "VND",
    "710": "ZAR",
    "752": "SEK",
    "756": "CHF",
    "764": "THB",
    "784": "AED",
    "788": "TND",
    "826": "GBP",
    "840": "USD",
    "901": "TWD",
    "946": "RON",
    "949": "TRY",
    "950": "XAF",
    "952": "XOF",
    "953": "XPF",
    "975": "BGN",
    "978": "EUR",
    "985": "PLN",
    "986": "BRL",
}
_NUMERIC = {letters: numeric for numeric, letters in _LETTERS.items()}


def alpha(numeric: str) -> str | None:
    """The three letters of a numeric code ("978" and "0978" are "EUR"); None when it is not known here."""
    return _LETTERS.get(numeric.lstrip("0").zfill(3))


def numeric(letters: str) -> str | None:
    """The three digits of a currency's letters; None when it is not known here."""
    return _NUMERIC.get(letters)
