"""pyiso8583 told UnionPay's layout: an encoder and decoder that knows nothing of tillwatch.

The layout is written down once more here, after the terminals' field table, so that a slip in ours is seen.
"""

from __future__ import annotations

from typing import Any

import iso8583

# number: (kind, size, bytes of length before it)
LAYOUT: dict[int, tuple[str, int, int]] = {
    2: ("n", 19, 1),
    3: ("n", 6, 0),
    4: ("n", 12, 0),
    11: ("n", 6, 0),
    12: ("n", 6, 0),
    13: ("n", 4, 0),
    14: ("n", 4, 0),
    15: ("n", 4, 0),
    22: ("n", 3, 0),
    23: ("n", 3, 0),
    25: ("n", 2, 0),
    26: ("n", 2, 0),
    32: ("n", 11, 1),
    35: ("z", 37, 1),
    36: ("z", 104, 2),
    37: ("a", 12, 0),
    38: ("a", 6, 0),
    39: ("a", 2, 0),
    41: ("a", 8, 0),
    42: ("a", 15, 0),
    44: ("a", 25, 1),
    48: ("n", 322, 2),
    49: ("a", 3, 0),
    52: ("b", 8, 0),
    53: ("n", 16, 0),
    54: ("a", 20, 2),
    55: ("b", 255, 2),
    58: ("a", 100, 2),
    60: ("n", 17, 2),
    61: ("n", 29, 2),
    62: ("b", 512, 2),
    63: ("a", 163, 2),
    64: ("b", 8, 0),
}


def _spec(number: int, kind: str, size: int, prefix: int) -> dict[str, Any]:
    spec: dict[str, Any] = {"len_enc": "bcd", "len_type": prefix, "max_len": size, "desc": str(number)}
    spec["data_enc"] = "gbk" if kind == "a" else "b"
    if kind in "nz":
        spec["len_count"] = "nibbles"
        if prefix or number == 22:
            spec["right_pad"] = "0"
        elif size % 2:
            spec["left_pad"] = "0"
    return spec


SPEC: dict[str, dict[str, Any]] = {
    "h": {"data_enc": "b", "len_enc": "bcd", "len_type": 0, "max_len": 11, "desc": "TPDU and header"},
    "t": {"data_enc": "b", "len_enc": "bcd", "len_type": 0, "max_len": 2, "desc": "type"},
    "p": {"data_enc": "b", "len_enc": "bcd", "len_type": 0, "max_len": 8, "desc": "bitmap"},
    "1": {"data_enc": "b", "len_enc": "bcd", "len_type": 0, "max_len": 8, "desc": "second bitmap"},
    **{str(number): _spec(number, *how) for number, how in LAYOUT.items()},
}


def encoded(fields: dict[str, str]) -> bytes:
    """A message from its fields: `h` and `t` in hexadecimal, the others by number."""
    raw, _ = iso8583.encode(dict(fields), SPEC)
    return bytes(raw)


def decoded(data: bytes) -> dict[str, str]:
    """The fields of a message. Raises iso8583.DecodeError."""
    fields, _ = iso8583.decode(data, SPEC)
    return dict(fields)
