"""Tables of access: accounts, sessions, bearer tokens, one-time links, log-in attempts, and the audit log.

Secrets stand here only as hashes. Times are microseconds UTC. The audit log takes rows and gives none back: triggers
refuse UPDATE and DELETE (migration 0002).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, Text

from collector.ledger.metadata import Json, metadata

_NUMBER = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only what is called INTEGER

accounts = Table(
    "accounts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),  # the log-in name, lower case
    Column("display", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("password_hash", Text),  # none: invited, or signs in elsewhere
    Column("subject", Text, unique=True),  # OIDC: issuer and subject
    Column("language", Text),
    Column("disabled", Boolean, nullable=False, default=False),
    Column("created_us", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("last_login_us", BigInteger),
)

sessions = Table(
    "sessions",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("seen_us", BigInteger, nullable=False),
    Column("address", Text, nullable=False),
    Column("browser", Text, nullable=False),
    Index("ix_sessions_account", "account"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
    Column("created_us", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_us", BigInteger),
    Column("revoked_us", BigInteger),
    Column("used_us", BigInteger),
)

links = Table(  # one-time links: the first administrator, an invitation, a sign-in under way at an OIDC provider
    "access_links",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("purpose", Text, nullable=False),
    Column("account", Text),
    Column("data", Json),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("used_us", BigInteger),
    Index("ix_access_links_account", "account"),
)

attempts = Table(  # failed log-ins of the last minutes; `subject` is a hash of the account's name or of the address
    "login_attempts",
    metadata,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("subject", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Index("ix_login_attempts_subject_at_us", "subject", "at_us"),
    Index("ix_login_attempts_at_us", "at_us"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("at_us", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("role", Text),
    Column("via", Text, nullable=False),  # session, token, guest, console, oidc
    Column("address", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("object", Text),
    Column("detail", Json),
    Index("ix_audit_at_us", "at_us"),
)
