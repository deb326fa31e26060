"""The doors: how people and programs come in, how long they stay, and how they leave.

Rules: a secret is shown once and kept as a hash; a log-in makes a new session and never takes over a given one; a
session ends by idleness, by age, by log-out, by a new password, and when its account is disabled. Times come from the
clock passed in. Every log-in and failure leaves a line in the audit log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from agent.log import logger
from collector.access.errors import BadCredentialsError
from collector.access.limits import Limits
from collector.access.passwords import Passwords
from collector.access.people import User, Via
from collector.access.roles import Role
from collector.access.secrets import BEARER_PREFIX, digest, new_secret
from collector.ledger import Clock, Ledger, accounts, audit, microseconds
from collector.ledger.accounts import Account, Session

_S = 1_000_000
_TOUCH_EVERY_US = 60 * _S  # a page that asks each second is no reason to write each second
_MARK_PATIENCE_S = 0.2


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long things are good for, in seconds."""

    idle_s: int = 30 * 60
    absolute_s: int = 12 * 3600
    invitation_s: int = 3 * 24 * 3600
    first_admin_s: int = 3600


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A fresh session: the cookie's value, told once, and whose it is."""

    secret: str
    user: User


class Doors:
    """Lets in and out. Thread-safe: all state is in the ledger."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        *,
        passwords: Passwords | None = None,
        limits: Limits | None = None,
        lifetimes: Lifetimes | None = None,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._passwords = passwords or Passwords()
        self._limits = limits or Limits()
        self.lifetimes = lifetimes or Lifetimes()
        self._log = logger(part="access")

    def log_in(self, name: str, password: str, *, address: str, browser: str) -> LoggedIn:
        """Raises BadCredentialsError or TooManyAttemptsError."""
        name, now = login_name(name), self._now()
        with self._ledger.read() as connection:
            # A refused try writes nothing, so a flood of them fills neither table nor audit log.
            self._limits.check(connection, name, address, now)
            account = accounts.account_named(connection, name)
        matches = self._passwords.matches(account.password_hash if account else None, password)
        if account is None or not matches or account.disabled:
            self._failed(name, address, "login.failed", known=account is not None)
            raise BadCredentialsError
        with self._ledger.read() as connection:
            # Again: of many tries at once all were let through before the first of them had failed.
            self._limits.check(connection, name, address, now)
        return self._let_in(account, address=address, browser=browser, password=password)

    def _failed(self, name: str, address: str, action: str, *, known: bool) -> None:
        """Count a failure. Only names that exist are written down: people type passwords into the wrong field."""
        now = self._now()
        with self._ledger.write() as connection:
            self._limits.failed(connection, name, address, now)
            write_note(connection, now, None, action, about=name if known else None, address=address)

    def _let_in(self, account: Account, *, address: str, browser: str, password: str | None = None) -> LoggedIn:
        now, secret = self._now(), new_secret()
        renewed: dict[str, object] = {}
        if password is not None and account.password_hash and self._passwords.stale(account.password_hash):
            renewed["password_hash"] = self._passwords.hash(password)
        user = user_of(account, Via.SESSION, address)
        with self._ledger.write() as connection:
            self._limits.succeeded(connection, account.name)
            accounts.end_old_sessions(
                connection, now - self.lifetimes.absolute_s * _S, now - self.lifetimes.idle_s * _S
            )
            accounts.change_account(connection, account.id, last_login_us=now, **renewed)
            accounts.add_session(
                connection,
                Session(
                    hash=digest(secret),
                    account=account.id,
                    created_us=now,
                    seen_us=now,
                    address=address[:64],
                    browser=browser[:160],
                ),
            )
            write_note(connection, now, user, "login.done", about=account.name)
        return LoggedIn(secret, user)

    def let_in(self, subject: str, *, address: str, browser: str) -> LoggedIn:
        """A person whom an OIDC provider vouched for. Raises BadCredentialsError when disabled or unknown."""
        with self._ledger.read() as connection:
            account = accounts.account_of_subject(connection, subject)
        if account is None or account.disabled:
            raise BadCredentialsError
        return self._let_in(account, address=address, browser=browser)

    def user_of_session(self, secret: str, *, address: str, seen: bool = True) -> User | None:
        """Whose session this cookie is; None when it is none, or over. `seen`: mark it as used now."""
        now, key = self._now(), digest(secret)
        with self._ledger.read() as connection:
            found = accounts.session(connection, key)
        if found is None:
            return None
        session, account = found
        if (
            account.disabled
            or now - session.created_us >= self.lifetimes.absolute_s * _S
            or now - session.seen_us >= self.lifetimes.idle_s * _S
        ):
            self._mark(lambda connection: accounts.end_session(connection, key))
            return None
        if seen and now - session.seen_us >= _TOUCH_EVERY_US:
            self._mark(lambda connection: accounts.touch_session(connection, key, now))
        return user_of(account, Via.SESSION, address)

    def log_out(self, secret: str, *, address: str) -> None:
        """End one session."""
        key = digest(secret)
        with self._ledger.write() as connection:
            found = accounts.session(connection, key)
            if found and accounts.end_session(connection, key):
                write_note(
                    connection, self._now(), user_of(found[1], Via.SESSION, address), "logout", about=found[1].name
                )

    def user_of_token(self, secret: str, *, address: str) -> User | None:
        """Whose bearer token this is; None when it is none, revoked or expired."""
        if not secret.startswith(BEARER_PREFIX):
            return None
        now = self._now()
        with self._ledger.read() as connection:
            token = accounts.token_of(connection, digest(secret))
        if token is None or token.revoked_us is not None or (token.expires_us is not None and now >= token.expires_us):
            return None
        if now - (token.used_us or 0) >= _TOUCH_EVERY_US:
            self._mark(lambda connection: accounts.change_token(connection, token.id, used_us=now))
        return User(name=token.name, display=token.name, role=Role(token.role), via=Via.TOKEN, address=address)

    def note(self, user: User, action: str, about: str | None = None, detail: Mapping[str, Any] | None = None) -> None:
        """Write down what somebody did."""
        with self._ledger.write() as connection:
            write_note(connection, self._now(), user, action, about=about, detail=detail)

    def _mark(self, write: Callable[[Connection], object]) -> None:
        """Write down a sign of life where that can be done: on a full disk people must still see what is wrong.

        Nor does a page wait for it, when somebody else is writing for long (a backup, a large reconciliation).
        """
        try:
            with self._ledger.write(_MARK_PATIENCE_S) as connection:
                write(connection)
        except OperationalError as error:
            self._log.warning("access.not_marked", reason=" ".join(str(error.orig).split()))

    def _now(self) -> int:
        return microseconds(self._clock())


def login_name(name: str) -> str:
    """A log-in name as it is kept: nobody has to remember its capitals."""
    return name.strip().casefold()


def user_of(account: Account, via: Via, address: str) -> User:
    """The account's person, as the other parts see them."""
    return User(
        name=account.name,
        display=account.display,
        role=Role(account.role),
        via=via,
        account=account.id,
        language=account.language,
        address=address,
    )


def write_note(
    connection: Connection,
    now_us: int,
    user: User | None,
    action: str,
    *,
    about: str | None = None,
    address: str = "-",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """A line in the audit log. `user` None: somebody at the log-in form."""
    audit.write(
        connection,
        at_us=now_us,
        actor=user.name if user else "-",
        role=user.role.value if user else None,
        via=user.via.value if user else "login",
        address=user.address if user else address,
        action=action,
        about=about,
        detail=detail,
    )
