"""Passwords: rules (NIST SP 800-63B: length and no known ones, no composition puzzles) and argon2id hashes."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from argon2 import PasswordHasher, profiles
from argon2.exceptions import Argon2Error, InvalidHashError

from agent.phrase import Phrase, phrase

SHORTEST = 10  # characters
LONGEST = 256  # a hash over a megabyte of password would be a way to keep the collector busy
_FEWEST_DIFFERENT = 5
_AT_ONCE = 2  # a hash takes 64 MiB: a storm of log-ins must not take the machine's memory

#: the beginnings that dictionaries try first, in both languages' habits
_COMMON = (
    "1234567890", "0123456789", "password", "passw0rd", "qwertyuiop", "1q2w3e4r5t", "iloveyou", "administrator",
    "letmein", "welcome", "woaini", "abc123456", "a123456789", "88888888", "66666666", "tillwatch", "hospital",
)  # fmt: skip


def weakness(password: str, name: str) -> Phrase | None:
    """Why the password can't be taken for the account `name`; None when it can."""
    if len(password) < SHORTEST:
        return phrase("access.password_short", shortest=SHORTEST)
    if len(password) > LONGEST:
        return phrase("access.password_long", longest=LONGEST)
    low = password.casefold()
    if len(set(low)) < _FEWEST_DIFFERENT:
        return phrase("access.password_simple")
    if (name and name.casefold() in low) or any(
        low.startswith(known) and len(low) < len(known) + 5 for known in _COMMON
    ):
        return phrase("access.password_known")
    return None


@dataclass(slots=True)
class Passwords:
    """Makes and checks hashes, a bounded number at once.

    The stored form carries its own parameters, so that harder ones can be chosen later: `stale` tells which hashes
    should be made again at the next log-in.
    """

    hasher: PasswordHasher = field(default_factory=lambda: PasswordHasher.from_parameters(profiles.RFC_9106_LOW_MEMORY))
    _gate: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(_AT_ONCE))
    _nobody: str = ""

    def hash(self, password: str) -> str:
        """The form that is stored."""
        with self._gate:
            return self.hasher.hash(password)

    def matches(self, stored: str | None, password: str) -> bool:
        """Whether the password is the stored one. Takes as long when none is stored, to hide who has an account."""
        if not self._nobody:
            self._nobody = self.hash("nobody's password")
        with self._gate:
            try:
                fits = self.hasher.verify(stored or self._nobody, password[: LONGEST + 1])
            except (Argon2Error, InvalidHashError):
                return False
        return fits and stored is not None

    def stale(self, stored: str) -> bool:
        """Whether the hash was made with weaker parameters than today's."""
        return self.hasher.check_needs_rehash(stored)
