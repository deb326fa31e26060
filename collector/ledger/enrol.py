"""One-time tokens and certificates of agents: reads and writes on a connection, no policy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, insert, select, update

from collector.ledger.tables_enrol import certificates, enrol_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolToken:
    """A token for one agent at one site. Times in microseconds UTC; the token itself is not kept."""

    id: str
    agent: str
    site: str
    created_us: int
    created_by: str
    expires_us: int
    used_us: int | None = None
    used_from: str | None = None
    used_key: str | None = None
    revoked_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate that was given to an agent."""

    serial: str
    agent: str
    site: str
    key: str
    pem: str
    how: str
    begins_us: int
    ends_us: int
    issued_us: int
    revoked_us: int | None = None
    revoked_by: str | None = None
    reason: str | None = None


_AT_ONCE = 500  # a statement takes only so many parameters
_TOKEN = [column for column in enrol_tokens.columns if column.name != "hash"]


def add_tokens(connection: Connection, tokens: Iterable[tuple[EnrolToken, str]]) -> None:
    """Tokens with the hash of each."""
    connection.execute(insert(enrol_tokens), [{**asdict(token), "hash": digest} for token, digest in tokens])


def token_of(connection: Connection, digest: str) -> EnrolToken | None:
    """The token kept under this hash."""
    row = connection.execute(select(*_TOKEN).where(enrol_tokens.c.hash == digest)).one_or_none()
    return EnrolToken(**row._mapping) if row else None


def use_token(connection: Connection, token: EnrolToken, now_us: int, address: str, key: str) -> bool:
    """Mark it used for a key. Exactly one of many who try at once is told True."""
    c = enrol_tokens.c
    query = update(enrol_tokens).where(
        c.id == token.id, c.used_us.is_(None), c.revoked_us.is_(None), c.expires_us > now_us
    )
    return connection.execute(query.values(used_us=now_us, used_from=address, used_key=key)).rowcount == 1


def void_tokens(connection: Connection, agents: Sequence[str], now_us: int) -> int:
    """No open token of these agents is good any more; how many there were."""
    c, count = enrol_tokens.c, 0
    still_open = update(enrol_tokens).where(c.used_us.is_(None), c.revoked_us.is_(None), c.expires_us > now_us)
    for at in range(0, len(agents), _AT_ONCE):
        some = still_open.where(c.agent.in_(agents[at : at + _AT_ONCE]))
        count += connection.execute(some.values(revoked_us=now_us)).rowcount
    return count


def open_tokens(connection: Connection, now_us: int) -> list[EnrolToken]:
    """Those that can be used now, the newest first."""
    c = enrol_tokens.c
    query = select(*_TOKEN).where(c.used_us.is_(None), c.revoked_us.is_(None), c.expires_us > now_us)
    return [EnrolToken(**row._mapping) for row in connection.execute(query.order_by(c.created_us.desc(), c.agent))]


def drop_old_tokens(connection: Connection, expired_before_us: int) -> None:
    """Forget tokens that expired before then; the audit log still knows them."""
    connection.execute(delete(enrol_tokens).where(enrol_tokens.c.expires_us < expired_before_us))


def add_certificate(connection: Connection, certificate: Certificate) -> None:
    """A certificate was given."""
    connection.execute(insert(certificates).values(asdict(certificate)))


def certificate(connection: Connection, serial: str) -> Certificate | None:
    """The certificate with that serial number."""
    row = connection.execute(select(certificates).where(certificates.c.serial == serial)).one_or_none()
    return Certificate(**row._mapping) if row else None


def newest_of_key(connection: Connection, key: str) -> Certificate | None:
    """The certificate of this public key that ends last, revoked or not."""
    query = select(certificates).where(certificates.c.key == key).order_by(certificates.c.ends_us.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return Certificate(**row._mapping) if row else None


def living(connection: Connection, now_us: int) -> list[Certificate]:
    """Neither ended nor revoked, by agent, the one that ends last first."""
    c = certificates.c
    query = select(certificates).where(c.revoked_us.is_(None), c.ends_us > now_us).order_by(c.agent, c.ends_us.desc())
    return [Certificate(**row._mapping) for row in connection.execute(query)]


def newest_of_agents(connection: Connection) -> list[Certificate]:
    """The last certificate of each agent, whatever became of it, by agent."""
    newest: dict[str, Certificate] = {}
    c = certificates.c
    for row in connection.execute(select(certificates).order_by(c.agent, c.issued_us, c.ends_us)):
        newest[row.agent] = Certificate(**row._mapping)
    return list(newest.values())


def revoke(
    connection: Connection,
    agent: str,
    now_us: int,
    by: str,
    reason: str,
    *,
    ended_after_us: int,
    keep_key: str | None = None,
) -> int:
    """Revoke what an agent holds, except certificates of one key; how many there were that end after that time."""
    c = certificates.c
    query = update(certificates).where(c.agent == agent, c.revoked_us.is_(None), c.ends_us >= ended_after_us)
    if keep_key is not None:
        query = query.where(c.key != keep_key)
    return connection.execute(query.values(revoked_us=now_us, revoked_by=by, reason=reason)).rowcount


def revoked(connection: Connection) -> list[Certificate]:
    """All that were ever revoked: a revocation list tells them for ever, so that no clock can bring one back."""
    query = select(certificates).where(certificates.c.revoked_us.is_not(None)).order_by(certificates.c.serial)
    return [Certificate(**row._mapping) for row in connection.execute(query)]
