"""Accounts and what signs them in: reads and writes on a connection, no policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from collector.ledger.tables_access import accounts, attempts, links, sessions, tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One person. Times in microseconds UTC; `password_hash` None: no password set."""

    id: str
    name: str
    display: str
    role: str
    password_hash: str | None
    subject: str | None
    language: str | None
    disabled: bool
    created_us: int
    created_by: str
    last_login_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One browser that is logged in."""

    hash: str
    account: str
    created_us: int
    seen_us: int
    address: str
    browser: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One bearer token; the token itself is not kept."""

    id: str
    name: str
    role: str
    created_us: int
    created_by: str
    expires_us: int | None
    revoked_us: int | None
    used_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One one-time link."""

    hash: str
    purpose: str
    account: str | None
    data: Mapping[str, Any] | None
    created_us: int
    expires_us: int
    used_us: int | None


_TOKEN_COLUMNS = [column for column in tokens.columns if column.name != "hash"]


def add_account(connection: Connection, account: Account) -> None:
    """Raises sqlalchemy.exc.IntegrityError when name or subject is taken."""
    connection.execute(insert(accounts).values(asdict(account)))


def account(connection: Connection, account_id: str) -> Account | None:
    """The account of that id."""
    return _account(connection.execute(select(accounts).where(accounts.c.id == account_id)).one_or_none())


def account_named(connection: Connection, name: str) -> Account | None:
    """The account of that log-in name."""
    return _account(connection.execute(select(accounts).where(accounts.c.name == name)).one_or_none())


def account_of_subject(connection: Connection, subject: str) -> Account | None:
    """The account that signs in as this subject of an OIDC provider."""
    return _account(connection.execute(select(accounts).where(accounts.c.subject == subject)).one_or_none())


def all_accounts(connection: Connection) -> list[Account]:
    """Everybody, by name."""
    return [Account(**row._mapping) for row in connection.execute(select(accounts).order_by(accounts.c.name))]


def change_account(connection: Connection, account_id: str, **values: object) -> bool:
    """Set columns of one account; False when there is none."""
    return connection.execute(update(accounts).where(accounts.c.id == account_id).values(**values)).rowcount > 0


def count_with_role(connection: Connection, role: str, *, able: bool) -> int:
    """How many accounts have the role; `able`: only those that can log in now."""
    query = select(func.count()).select_from(accounts).where(accounts.c.role == role)
    if able:
        query = query.where(
            ~accounts.c.disabled, accounts.c.password_hash.is_not(None) | accounts.c.subject.is_not(None)
        )
    return int(connection.execute(query).scalar_one())


def add_session(connection: Connection, session: Session) -> None:
    """A browser logged in."""
    connection.execute(insert(sessions).values(asdict(session)))


def session(connection: Connection, digest: str) -> tuple[Session, Account] | None:
    """The session kept under this hash, with its account."""
    row = connection.execute(select(sessions).where(sessions.c.hash == digest)).one_or_none()
    found = account(connection, row.account) if row else None
    return (Session(**row._mapping), found) if row and found else None


def sessions_of(connection: Connection, account_id: str) -> list[Session]:
    """The sessions of an account, the one seen last first."""
    query = select(sessions).where(sessions.c.account == account_id).order_by(sessions.c.seen_us.desc())
    return [Session(**row._mapping) for row in connection.execute(query)]


def touch_session(connection: Connection, digest: str, now_us: int) -> None:
    """The browser was seen."""
    connection.execute(update(sessions).where(sessions.c.hash == digest).values(seen_us=now_us))


def end_session(connection: Connection, digest: str) -> bool:
    """Forget one session; False when there was none."""
    return connection.execute(delete(sessions).where(sessions.c.hash == digest)).rowcount > 0


def end_sessions_of(connection: Connection, account_id: str) -> int:
    """Forget all sessions of an account; how many there were."""
    return connection.execute(delete(sessions).where(sessions.c.account == account_id)).rowcount


def end_old_sessions(connection: Connection, created_before_us: int, seen_before_us: int) -> None:
    """Forget what has expired either way."""
    connection.execute(
        delete(sessions).where((sessions.c.created_us < created_before_us) | (sessions.c.seen_us < seen_before_us))
    )


def add_token(connection: Connection, token: Token, digest: str) -> None:
    """A program may come in."""
    values = {column.name: getattr(token, column.name) for column in _TOKEN_COLUMNS}
    connection.execute(insert(tokens).values(hash=digest, **values))


def token_of(connection: Connection, digest: str) -> Token | None:
    """The token kept under this hash."""
    row = connection.execute(select(*_TOKEN_COLUMNS).where(tokens.c.hash == digest)).one_or_none()
    return Token(**row._mapping) if row else None


def all_tokens(connection: Connection) -> list[Token]:
    """All tokens, the newest first."""
    query = select(*_TOKEN_COLUMNS).order_by(tokens.c.created_us.desc(), tokens.c.id)
    return [Token(**row._mapping) for row in connection.execute(query)]


def change_token(connection: Connection, token_id: str, **values: object) -> bool:
    """Set columns of one token; False when there is none."""
    return connection.execute(update(tokens).where(tokens.c.id == token_id).values(**values)).rowcount > 0


def add_link(connection: Connection, link: Link) -> None:
    """A one-time link was made."""
    connection.execute(insert(links).values(asdict(link)))


def link(connection: Connection, digest: str) -> Link | None:
    """The link kept under this hash."""
    row = connection.execute(select(links).where(links.c.hash == digest)).one_or_none()
    return Link(**row._mapping) if row else None


def use_link(connection: Connection, digest: str, now_us: int) -> bool:
    """Mark the link used. Exactly one of many who try at once is told True."""
    query = update(links).where(links.c.hash == digest, links.c.used_us.is_(None), links.c.expires_us > now_us)
    return connection.execute(query.values(used_us=now_us)).rowcount == 1


def drop_links(connection: Connection, purpose: str, account_id: str | None = None) -> None:
    """Forget the links of one purpose, of one account or of none."""
    owner = links.c.account.is_(None) if account_id is None else links.c.account == account_id
    connection.execute(delete(links).where(links.c.purpose == purpose, owner))


def drop_old_links(connection: Connection, expired_before_us: int) -> None:
    """Forget links that expired before then."""
    connection.execute(delete(links).where(links.c.expires_us < expired_before_us))


def add_attempt(connection: Connection, subject: str, now_us: int) -> None:
    """A log-in failed."""
    connection.execute(insert(attempts).values(subject=subject, at_us=now_us))


def attempts_since(connection: Connection, subject: str, since_us: int) -> tuple[int, int | None]:
    """How many failed since then, and when the first of them was."""
    query = select(func.count(), func.min(attempts.c.at_us)).where(
        attempts.c.subject == subject, attempts.c.at_us >= since_us
    )
    count, first = connection.execute(query).one()
    return int(count), first


def drop_attempts(connection: Connection, *, subject: str | None = None, before_us: int | None = None) -> None:
    """Forget the attempts of one subject, or all older ones."""
    query = delete(attempts)
    if subject is not None:
        query = query.where(attempts.c.subject == subject)
    if before_us is not None:
        query = query.where(attempts.c.at_us < before_us)
    connection.execute(query)


def _account(row: Row[Any] | None) -> Account | None:
    return Account(**row._mapping) if row else None
