"""Reads parameters of the API: each refusal names the parameter, what came, and what is accepted."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from agent.phrase import phrase
from collector.ledger import microseconds, moment
from collector.ledger.project import LATEST_US
from collector.web.problems import BadValueError

Word = TypeVar("Word", bound=StrEnum)

MOST = 1000
_ALLOWED = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LARGEST = (1 << 63) - 1


def moment_us(name: str, text: str | None) -> int | None:
    """RFC 3339 with offset, or Unix seconds; microseconds UTC, at the nearest time that the ledger can hold."""
    if text is None:
        return None
    if re.fullmatch(r"\d{1,11}(\.\d{1,6})?", text):
        return round(float(text) * 1_000_000)
    try:
        # In an address "+" means a blank: "+08:00" arrives as " 08:00".
        found = datetime.fromisoformat(re.sub(r" (\d\d:\d\d)$", r"+\1", text.strip()))
        if found.tzinfo is not None:
            return min(max(0, microseconds(found)), LATEST_US)
    except ValueError:
        pass
    raise BadValueError(name, phrase("web.want_moment", found=_shown(text)))


def identifier(name: str, text: str | None) -> str | None:
    """A site, agent or terminal name."""
    if text is None or _ALLOWED.fullmatch(text):
        return text
    raise BadValueError(name, phrase("web.want_identifier", found=_shown(text)))


def digits(name: str, text: str | None, least: int, most: int) -> str | None:
    """So many decimal digits."""
    if text is None or (text.isascii() and text.isdecimal() and least <= len(text) <= most):
        return text
    raise BadValueError(name, phrase("web.want_digits", found=_shown(text), least=least, most=most))


def whole(name: str, text: str | None, least: int, most: int = _LARGEST) -> int | None:
    """An integer within bounds."""
    if text is None:
        return None
    if re.fullmatch(r"-?\d{1,19}", text, re.ASCII) and least <= int(text) <= most:
        return int(text)
    raise BadValueError(name, phrase("web.want_whole", found=_shown(text), least=least, most=most))


def flag(name: str, text: str | None) -> bool | None:
    """true or false."""
    if text is None:
        return None
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() in known:
        return known[text.lower()]
    raise BadValueError(name, phrase("web.want_flag", found=_shown(text)))


def word(name: str, text: str | None, words: type[Word]) -> Word | None:
    """One of the words."""
    if text is None:
        return None
    try:
        return words(text)
    except ValueError:
        accepted = ", ".join(words)
        raise BadValueError(name, phrase("web.want_word", found=_shown(text), accepted=accepted)) from None


def plain(name: str, text: str | None, most: int = 128) -> str | None:
    """Any printable text of bounded length."""
    if text is None or (0 < len(text) <= most and text.isprintable()):
        return text
    raise BadValueError(name, phrase("web.want_text", most=most))


def cursor(place: tuple[int, str]) -> str:
    """The place in a list as an opaque word."""
    return base64.urlsafe_b64encode(f"{place[0]}:{place[1]}".encode()).decode().rstrip("=")


def place_of(text: str | None) -> tuple[int, str] | None:
    """The place that `cursor` gave."""
    if text is None:
        return None
    try:
        raw = base64.b64decode((text + "=" * (-len(text) % 4)).encode("ascii"), b"-_", validate=True).decode()
        number, found, rest = raw.partition(":")
        if (
            found
            and re.fullmatch(r"-?\d{1,19}", number, re.ASCII)
            and abs(int(number)) <= _LARGEST
            and "\0" not in rest
        ):
            return int(number), rest
    except (ValueError, binascii.Error):
        pass
    raise BadValueError("cursor", phrase("web.want_cursor"))


def rfc3339(us: int | None) -> str | None:
    """A time of the ledger as the API shows it: UTC, milliseconds."""
    return None if us is None else moment(us).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")
