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
#: a number in groups that nothing but a card's has: 4 4 4 4, up to 3 more, or 4 6 5; what parts them is alike
_GROUPS = re.compile(
    r"(?<![\d*])\d{4}(?P<gap>[^\w\n*]{1,5}|_)(?:\d{4}(?P=gap)\d{4}(?P=gap)\d{1,4}(?:(?P=gap)\d{1,3})?|\d{6}(?P=gap)\d{5})(?!\d)",
    re.ASCII,
)
#: the number behind the label of one, in whatever groups, some of it perhaps hidden
_CARD_VALUE = re.compile(r"[\d*X](?:[^\w\n*]{0,5}_?[\d*X])*", re.ASCII | re.IGNORECASE)
_FIRST, _LAST = 6, 4  # digits of a card number that may be shown
_SHORTEST_CARD = 13
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
    hidden = _GROUPS.sub(_masked_groups, line)
    hidden = _RUN.sub(lambda found: _masked_run(found.group(), known), hidden)
    return _TRACK.sub(lambda found: re.sub(r"\d", "*", found.group()), hidden) if "*" in hidden else hidden


def _masked_groups(found: re.Match[str]) -> str:
    digits = re.sub(r"\D", "", found.group())
    card = scheme_of(digits) is not None and luhn_valid(digits)
    return _middle_hidden(found.group(), len(digits)) if card else found.group()


def card_hidden(value: str, behind: int = 0) -> tuple[str, int]:
    """A value that is a card's number because its label says so: neither its length nor its check digit has to fit.

    `behind`: so many digits of the number stood in the line above. Returns how many have stood so far, when the number
    may go on in the next line; else 0.
    """
    found = _CARD_VALUE.search(value)
    if found is None:
        return value, 0
    shown, places = found.group(), [at for at, char in enumerate(found.group()) if char.isdecimal() or char in "*Xx"]
    count = behind + len(places)
    last = _LAST if count >= _SHORTEST_CARD else 0
    out = list(shown)
    for number, at in enumerate(places, behind):
        if _FIRST <= number < count - last and out[at].isdecimal():
            out[at] = "*"
    whole = count >= _SHORTEST_CARD or len(places) != sum(map(str.isdecimal, shown))
    return value[: found.start()] + "".join(out) + value[found.end() :], 0 if whole else count


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
            out.append(char if place < _FIRST or place >= count - _LAST else "*")
            place += 1
        else:
            out.append(char)
    return "".join(out)
