"""From a slip's bytes to lines of text: which encoding, and which of its digits may be shown.

The encoding is decided once a slip: UTF-8 where it is that (smart terminals), GB18030 else (nearly all others); where
both fit, the one in which more labels are found. A code page that the stream itself has chosen (ESC t) is taken when
the bytes are neither. Card numbers are masked here, before anything else sees the text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from drivers.cards import luhn_valid, scheme_of

#: full-width forms, as Chinese printers like them, to what they mean; one character for one
_NARROW = {0xFF01 + place: 0x21 + place for place in range(94)} | {0x3000: 0x20, 0xFFE5: 0xA5}
_NARROW_DIGITS = {0xFF10 + digit: 0x30 + digit for digit in range(10)}

#: ESC t n → Python's name of the code page, where Epson's numbers are followed
_CODE_PAGES = {2: "cp850", 3: "cp860", 4: "cp863", 5: "cp865", 13: "cp857", 16: "cp1252", 17: "cp866", 18: "cp852"}
_CODE_PAGES |= {19: "cp858", 36: "cp862", 45: "cp1250", 46: "cp1251", 47: "cp1253"}
#: words that a slip in the right encoding has
_KNOWN = (
    "商户",
    "终端",
    "交易",
    "金额",
    "凭证",
    "批次",
    "卡号",
    "日期",
    "订单",
    "签购",
    "参考",
    "结算",
    "签到",
    "打印",
)

_RUN = re.compile(r"\d(?:[ -]?\d)*", re.ASCII)
#: what follows a masked number on a magnetic stripe: expiry, service code and the bank's own digits
_TRACK = re.compile(r"(?<=[\d*]{8})[=^D][\d*=?]{4,}")
_SHORTEST, _LONGEST = 12, 19  # digits of a card number; a longer run always loses its middle


def decoded(lines: Sequence[bytes], page: int = 0) -> list[str]:
    """The lines as text; bytes that are no character become U+FFFD. Full-width digits become plain ones."""
    whole = b"\n".join(lines)
    text = whole.decode("ascii") if whole.isascii() else _best(whole, page)
    shown = text.translate(_NARROW_DIGITS).split("\n")
    return [_printable(line).rstrip() for line in shown]


def _printable(line: str) -> str:
    return line if line.isprintable() else "".join(char for char in line if char.isprintable())


def narrowed(line: str) -> str:
    """The line with full-width letters, digits and punctuation as plain ones: the same length, for reading labels."""
    return line.translate(_NARROW)


def _best(whole: bytes, page: int) -> str:
    strict = [name for name in ("utf-8", "gb18030") if _fits(whole, name)]
    if not strict and (name := _CODE_PAGES.get(page)):
        return whole.decode(name, "replace")
    tried = [whole.decode(name, "replace") for name in strict or ("utf-8", "gb18030")]
    return max(tried, key=lambda text: (sum(word in text for word in _KNOWN), -text.count("\ufffd")))


def _fits(whole: bytes, encoding: str) -> bool:
    try:
        whole.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


# --- digits that must not be shown ----------------------------------------------------------------------------------


def is_card_like(value: str) -> bool:
    """Whether a labelled number may be a card's all the same: its length, its prefix and its check digit say so."""
    digits = value.replace(" ", "")
    if not digits.isdecimal() or not _SHORTEST < len(digits) <= _LONGEST:
        return False
    return scheme_of(digits) is not None and luhn_valid(digits)


def masked(line: str, known: Collection[str] = ()) -> str:
    """The line without card numbers and track data, of the same length.

    `known`: long numbers that a label says to be none.
    """
    hidden = _RUN.sub(lambda found: _masked_run(found.group(), known), line)
    return _TRACK.sub(lambda found: re.sub(r"\d", "*", found.group()), hidden) if hidden != line else line


def _masked_run(run: str, known: Collection[str]) -> str:
    digits = re.sub("[ -]", "", run)
    if len(digits) < _SHORTEST or run in known or len(set(digits)) == 1:
        return run
    tokens = re.split("([ -])", run)
    for place, token in enumerate(tokens):
        if len(token) >= _SHORTEST and token in known:
            return masked("".join(tokens[:place])) + token + masked("".join(tokens[place + 1 :]), known)
    if len(digits) > _LONGEST or luhn_valid(digits) or holds_card(digits):
        return _middle_hidden(run, len(digits))
    return "".join(masked(token) for token in tokens) if len(tokens) > 1 else run


def holds_card(digits: str) -> bool:
    """Whether a card number is in it, with other digits before or behind."""
    parts = ((start, end) for start in range(len(digits) - 12) for end in range(start + 13, len(digits) + 1))
    return any(scheme_of(digits[start:end]) is not None and luhn_valid(digits[start:end]) for start, end in parts)


def _middle_hidden(run: str, count: int) -> str:
    out = []
    place = 0
    for char in run:
        if char.isdecimal():
            out.append(char if place < 6 or place >= count - 4 else "*")
            place += 1
        else:
            out.append(char)
    return "".join(out)
