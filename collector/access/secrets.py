"""Secrets that are shown once and kept only as a hash: session cookies, bearer tokens, one-time links.

They carry 256 random bits, so a plain SHA-256 is enough to keep them: nobody can guess one from its hash, and looking
one up costs an index access. Passwords are another matter: passwords.py.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

BEARER_PREFIX = "tw_"  # lets a secret scanner, and a person who finds one in a log, see what it is


def new_secret(prefix: str = "") -> str:
    """43 characters that nobody can guess, after the prefix."""
    return prefix + secrets.token_urlsafe(32)


def new_id() -> str:
    """A name for a row, no secret; begins with no dash, so that it can be an argument."""
    return secrets.token_hex(8)


def digest(secret: str) -> str:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def derived(secret: str, purpose: str) -> str:
    """A value only the holder of `secret` could know, and that does not give `secret` away (CSRF tokens)."""
    return hmac.new(secret.encode(), purpose.encode(), hashlib.sha256).hexdigest()


def same(given: str, expected: str) -> bool:
    """Whether both are equal; takes as long wherever they differ."""
    return hmac.compare_digest(given.encode(), expected.encode())
