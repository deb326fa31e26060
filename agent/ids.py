"""Transaction ids: ULIDs whose random part comes from where on the line the transaction began.

A replay after a crash meets the same bytes at the same place, so it gives the same id.
"""

from __future__ import annotations

from hashlib import sha256

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32


def transaction_id(wall_ns: int, token: str) -> str:
    """26 characters: 48 bits of wall-clock milliseconds, 80 bits of the token's hash."""
    milliseconds = max(0, wall_ns // 1_000_000) & (1 << 48) - 1
    number = milliseconds << 80 | int.from_bytes(sha256(token.encode()).digest()[:10], "big")
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
