"""The brake on guessing passwords: failed log-ins are counted by account and by address, in the ledger.

In the ledger, so that two collectors count together and a restart forgets nothing. Bounded: above a limit nothing is
written any more, and what is older than the window goes at the next failure. Subjects are hashed, because people type
passwords into the field for the name.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from collector.access.errors import TooManyAttemptsError
from collector.access.secrets import digest
from collector.ledger import accounts

_S = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """How many failures within how many seconds. An address may stand for a whole hospital behind one gateway."""

    window_s: int = 900
    per_account: int = 5
    per_address: int = 30

    def check(self, connection: Connection, name: str, address: str, now_us: int) -> None:
        """Raises TooManyAttemptsError before any password is looked at."""
        since = now_us - self.window_s * _S
        for subject, most in ((_account(name), self.per_account), (_address(address), self.per_address)):
            count, first = accounts.attempts_since(connection, subject, since)
            if count >= most:
                left_us = (first or now_us) + self.window_s * _S - now_us
                raise TooManyAttemptsError(max(1, -(-left_us // _S)))

    def failed(self, connection: Connection, name: str, address: str, now_us: int) -> None:
        """Count a failure, and forget those that no longer count."""
        accounts.drop_attempts(connection, before_us=now_us - self.window_s * _S)
        accounts.add_attempt(connection, _account(name), now_us)
        accounts.add_attempt(connection, _address(address), now_us)

    def succeeded(self, connection: Connection, name: str) -> None:
        """The account's owner is in: its failures are forgotten; those of the address still count."""
        accounts.drop_attempts(connection, subject=_account(name))


def _account(name: str) -> str:
    return digest("account:" + name)


def _address(address: str) -> str:
    return digest("address:" + address)
