"""Looks for what must never leave a PC: card numbers, private keys, passwords, tokens. Pure.

It is the second wall: everything in a bundle was masked where it was made, so a finding here means that something is
wrong, and no bundle is written. A finding says where, never what.

A card number is 13 to 19 digits that pass the check digit (ISO/IEC 7812-1), in text in one piece or with single blanks
or dashes between the digits, or as four groups of four with other marks between them. In hexadecimal it is looked for
as ASCII digits and as digits packed two a byte. Bytes are dense with digits that are none, so there an issuer's prefix
has to fit as well, and a packed number has to begin and end as protocols lay it: behind its length, or before the
separator or pad of a track. Time grows linearly with the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from drivers.cards import luhn_valid, scheme_of, scrub

_SHORTEST, _LONGEST = 13, 19
_LONGEST_TRACK = 37  # characters of track 2
_RUN = re.compile(r"(?<![\d*])\d(?:[ \t\u00a0-]?\d){12,}(?![\d*])")
_GROUPS = re.compile(r"(?<!\d)\d{4}(?:[\W_]{1,2}\d{4}){3}(?!\d)")
_HEX = re.compile(r"(?:(?<![0-9A-Za-z])|(?<=\\x)|(?<=0x))[0-9A-Fa-f]{2}(?:(?:[ :,-]|, ?0x|\\x)?[0-9A-Fa-f]{2}){6,}")
_PAIR = re.compile(r"[0-9A-Fa-f]{2}(?=[^0-9A-Fa-f]|[0-9A-Fa-f]{2}|$)")
_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----")
#: user and password in an address; what looks like a port with a path behind it is none
_ACCOUNT = re.compile(r"[a-z][a-z0-9+.-]{1,15}://[^/\s:@\"']{0,64}:(?!\d{1,5}/)[^\s@\"']{1,256}@", re.IGNORECASE)
#: a password that is written beside its name, as programs do (password=…, "token": "…"); not what people say about one
_NAMED = re.compile(
    r"(?:password|passwd|pwd|passphrase|secret|token|api_?key|密码|口令)"
    r"(?:[ \t]{0,8}=[ \t]{0,8}[\"']?|[\"'][ \t]{0,8}:[ \t]{0,8}[\"'])(?P<value>[!#-&(-+\--~]{4,})",
    re.IGNORECASE,
)
_NO_SECRET = frozenset({"null", "none", "true", "false", "(set)"})
#: what lets a program in: the header of a request, a signed token (RFC 7519)
_BEARER = re.compile(
    r"authorization[\"']?[ \t]{0,8}[:=][ \t]{0,8}[\"']?(?:bearer|basic)[ \t]{1,8}[!-~]{6}", re.IGNORECASE
)
_SIGNED = re.compile(r"(?<![0-9A-Za-z_-])eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}\.")
_TRACK_BYTES = re.compile(rb"(?<![0-9*])[0-9]{13,19}(?![0-9*])")
_TRACK_ENDS = re.compile(r"(?<=\d{13})[df]")
_PRINTABLE = re.compile(rb"[ -~]+")
#: digits of cards by how they begin, where bytes leave the length open
_LENGTHS = (("62", (16, 17, 18, 19)), ("3", (14, 15, 16)), ("4", (13, 16, 19)), ("", (16, 19)))
#: prefixes of Chinese cards that are older than UnionPay's, beside those of `scheme_of`
_OLDER = ("9558", "955", "60", "103", "68", "69")
_PAIRS = re.compile(r"\d?(?:\d )?\d\d(?: \d\d)+(?: \d)?")  # bytes in hexadecimal rather than a number in groups
_BYTE_BEFORE = re.compile(r"[0-9A-Fa-f]{2} \Z|[0-9A-Fa-f]\Z")
_BYTE_BEHIND = re.compile(r" ?[0-9A-Fa-f]")
_WRITTEN = re.compile(r"(?:..)*?(?:3\d){5}")  # five ASCII digits on end: text, not packed digits
_IDENTITY = re.compile(r"[0-9a-f]{16}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}")  # a digest or the like
_LONGEST_IDENTITY = 64
_WORD = re.compile(r"[0-9A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found and where; `kind` is "card", "key" or "password"."""

    name: str
    line: int
    column: int
    kind: str


def findings(name: str, data: bytes, secrets: Iterable[str] = ()) -> list[Finding]:
    """What a file holds that it must not. `secrets`: passwords and the like that are known by their text."""
    found: list[Finding] = []
    known = [secret for secret in secrets if len(secret) >= 6]
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
        for kind, column in (*_cards(line), *_hex_cards(line), *_secrets(line, known)):
            found.append(Finding(name, number, column + 1, kind))
    return list(dict.fromkeys(found))


def cut_others(text: str) -> str:
    """The text with those numbers cut to six digits and four that pass the check digit and bear no issuer's prefix.

    One number in ten passes it: merchants', orders', references. What might really be a card's stays, and is found.
    """
    return _RUN.sub(_cut, text)


def _cut(found: re.Match[str]) -> str:
    digits = re.sub(r"\D", "", found.group())
    return found.group() if _issued(digits) else scrub(found.group())


def _cards(line: str) -> Iterator[tuple[str, int]]:
    for found in _RUN.finditer(line):
        digits = re.sub(r"\D", "", found.group())
        if _PAIRS.fullmatch(found.group()):
            fits = _fits(digits) and _issued(digits) and not _among_bytes(line, found.start(), found.end())
        else:
            fits = _fits(digits)
        if fits and not _within_identity(line, found.start(), found.end()):
            yield "card", found.start()
    for found in _GROUPS.finditer(line):
        digits = re.sub(r"\D", "", found.group())
        if _fits(digits) and _issued(digits):
            yield "card", found.start()


def _among_bytes(line: str, start: int, end: int) -> bool:
    """Whether pairs of digits stand among other bytes: there they are looked at as bytes."""
    return bool(_BYTE_BEFORE.search(line, max(0, start - 3), start) or _BYTE_BEHIND.match(line, end))


def _within_identity(line: str, start: int, end: int) -> bool:
    """Whether the digits are a part of a hexadecimal identity that has letters too."""
    before = start
    while before and line[before - 1].isascii() and line[before - 1].isalnum() and start - before < _LONGEST_IDENTITY:
        before -= 1
    word = _WORD.match(line, before, before + _LONGEST_IDENTITY + 1)
    return (
        word is not None
        and word.end() > end - 1
        and (before, word.end()) != (start, end)
        and bool(_IDENTITY.fullmatch(word.group()))
    )


def _fits(digits: str) -> bool:
    return _SHORTEST <= len(digits) <= _LONGEST and len(set(digits)) > 1 and luhn_valid(digits)


def _issued(digits: str) -> bool:
    return scheme_of(digits) is not None or digits.startswith(_OLDER)


def _hex_cards(line: str) -> Iterator[tuple[str, int]]:
    for found in _HEX.finditer(line):
        data = bytes.fromhex("".join(_PAIR.findall(found.group().replace("0x", " ").replace("\\x", " "))))
        if _ascii_card(data) or _packed_card(data):
            yield "card", found.start()


def _ascii_card(data: bytes) -> bool:
    return any(
        _fits(digits) and _issued(digits)
        for digits in (found.group().decode("ascii") for found in _TRACK_BYTES.finditer(data))
    )


def _packed_card(data: bytes) -> bool:
    """Digits two a byte: behind a byte that is their number (ISO 8583), or before the D or F of a track or a pad."""
    nibbles = data.hex()
    for place in range(len(data) - 7):
        length = nibbles[2 * place : 2 * place + 2]
        if length.isdecimal() and _SHORTEST <= int(length) <= _LONGEST:
            digits = nibbles[2 * place + 2 : 2 * place + 2 + int(length)]
            if digits.isdecimal() and len(digits) == int(length) and _packed(digits):
                return True
    return any(_ends_track(nibbles, found.start()) for found in _TRACK_ENDS.finditer(nibbles))


def _ends_track(nibbles: str, end: int) -> bool:
    """Whether a number that begins with a byte ends there. Before it stands no digit, or the length of its track."""
    for length in range(_SHORTEST, _LONGEST + 1):
        start = end - length
        digits = nibbles[max(0, start) : end]
        if start < 0 or start % 2 or not digits.isdecimal() or not _packed(digits):
            continue
        before = nibbles[max(0, start - 2) : start]
        if before.isdecimal() and not length < int(before) <= _LONGEST_TRACK:
            continue
        lengths = next(lengths for prefix, lengths in _LENGTHS if digits.startswith(prefix))
        if length in lengths and not _PRINTABLE.fullmatch(bytes.fromhex(digits[: length // 2 * 2])):
            return True
    return False


def _packed(digits: str) -> bool:
    return _fits(digits) and _issued(digits) and not _WRITTEN.match(digits)


def _secrets(line: str, known: Iterable[str]) -> Iterator[tuple[str, int]]:
    for found in _KEY.finditer(line):
        yield "key", found.start()
    for pattern in (_ACCOUNT, _BEARER, _SIGNED):
        for found in pattern.finditer(line):
            yield "password", found.start()
    for found in _NAMED.finditer(line):
        if found["value"].casefold() not in _NO_SECRET and set(found["value"]) - set("*•.-x"):
            yield "password", found.start()
    for secret in known:
        if (at := line.find(secret)) >= 0:
            yield "password", at
