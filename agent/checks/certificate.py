"""When a certificate is valid. The standard library only tells for certificates that it accepts."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_SEQUENCE = 0x30
_VERSION = 0xA0
_UTC_TIME = 0x17


@dataclass(frozen=True, slots=True)
class Validity:
    """From when until when."""

    begins: datetime
    ends: datetime


def validity(der: bytes) -> Validity | None:
    """The dates in a DER certificate (RFC 5280, 4.1); None when it is none."""
    try:
        certificate = _children(der)[0][1]
        fields = [field for field in _children(_children(certificate)[0][1]) if field[0] != _VERSION]
        # serial number, signature algorithm, issuer, validity
        begins, ends = _children(fields[3][1])
        return Validity(_time(*begins), _time(*ends))
    except (IndexError, ValueError):
        return None


def validity_of_file(path: Path) -> Validity | None:
    """The dates of the first certificate in a PEM file; None when there is none that can be read."""
    try:
        text = path.read_text(encoding="ascii", errors="replace")
        start = text.index(ssl.PEM_HEADER)
        end = text.index(ssl.PEM_FOOTER, start) + len(ssl.PEM_FOOTER)
        return validity(ssl.PEM_cert_to_DER_cert(text[start:end]))
    except (OSError, ValueError):
        return None


def _children(data: bytes) -> list[tuple[int, bytes]]:
    """The (tag, content) pairs in a constructed value."""
    found = []
    while data:
        tag, length, start = data[0], data[1], 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(data[2:start], "big")
        if start + length > len(data):
            raise ValueError("cut short")
        found.append((tag, data[start : start + length]))
        data = data[start + length :]
    return found


def _time(tag: int, content: bytes) -> datetime:
    text = content.decode("ascii", "replace")
    if tag == _UTC_TIME:  # two-digit years: 50 to 99 are 1950 to 1999
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
