"""Cells of a row as values: amounts, times, cards, numbers. Each raises BadCellError with what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from agent.phrase import Phrase, phrase
from drivers import cards

_YUAN = re.compile(r"([+-]?)(\d{1,13})(?:\.(\d{1,6}))?")
_FEN = re.compile(r"([+-]?)(\d{1,15})(?:\.0+)?")
_ISO = "%Y-%m-%d %H:%M:%S"
#: what a spreadsheet program makes of a long number
_DAMAGED = re.compile(r"\d(?:\.\d+)?[eE]\+\d{2,}")
_SHOWN = 40


class BadCellError(Exception):
    """A cell can't be used; `why` says it."""

    def __init__(self, why: Phrase) -> None:
        super().__init__(why.key)
        self.why = why


def shown(text: str) -> str:
    """A cell for a message: cut, and without the middle of anything as long as a card number."""
    return re.sub(r"\d{13,}", lambda run: run[0][:6] + "*" * (len(run[0]) - 10) + run[0][-4:], text)[:_SHOWN]


def clean(text: str, prefix: str) -> str:
    """The cell without what export programs put around it: blanks, tabs, a prefix, `="…"`, a leading apostrophe."""
    text = text.strip()
    if prefix and text.startswith(prefix):
        text = text[len(prefix) :].strip()
    if text.startswith('="') and text.endswith('"') and len(text) > 2:
        return text[2:-1].strip()
    return text.removeprefix("'")


def money(text: str, *, in_fen: bool) -> int:
    """The amount in minor units, signed. Thousands separators and a currency sign are allowed."""
    compact = text.replace(",", "").replace("￥", "").replace("¥", "").replace(" ", "")
    found = (_FEN if in_fen else _YUAN).fullmatch(compact)
    if found is None:
        raise BadCellError(phrase("reconcile.bad_amount", text=shown(text)))
    sign = -1 if found[1] == "-" else 1
    if in_fen:
        return sign * int(found[2])
    decimals = found[3] or ""
    if decimals[2:].strip("0"):
        raise BadCellError(phrase("reconcile.bad_amount", text=shown(text)))
    return sign * (int(found[2]) * 100 + int(decimals[:2].ljust(2, "0")))


def time_reader(formats: tuple[str, ...], zone: ZoneInfo) -> Callable[[str], int]:
    """A function from the text of a time to microseconds UTC. A time the clock shows twice counts as the first."""

    def read(text: str) -> int:
        for form in formats:
            try:
                # The usual form has a fast reader of its own; it also takes more than that form, hence the length.
                usual = form == _ISO and len(text) == 19
                moment = datetime.fromisoformat(text) if usual else datetime.strptime(text, form)
                moment = moment.replace(tzinfo=zone) if moment.tzinfo is None else moment
                return int(moment.astimezone(UTC).timestamp()) * 1_000_000 + moment.microsecond
            except (ValueError, OverflowError):
                continue
        raise BadCellError(phrase("reconcile.bad_time", text=shown(text), formats=", ".join(formats)))

    return read


def card(text: str) -> str | None:
    """The card masked, whatever the file shows of it: whole, first six and last four, or the last four alone."""
    digits = re.sub(r"[ -]", "", text)
    if re.fullmatch(r"\d{4}", digits):
        return f"****{digits}"
    masked = cards.mask(digits)
    return masked.masked if masked else None


def number(text: str) -> str | None:
    """A reference, trace, batch, order or terminal number as written; None for one that is all zeros."""
    if _DAMAGED.fullmatch(text):
        raise BadCellError(phrase("reconcile.bad_damaged", text=shown(text)))
    return text[:64] if text.strip("0") else None
