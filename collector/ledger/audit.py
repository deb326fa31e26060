"""The audit log: written at every write and log-in, read by page, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from collector.ledger.tables_access import audit


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that somebody did, or tried to. `at_us` microseconds UTC."""

    id: int
    at_us: int
    actor: str
    role: str | None
    via: str
    address: str
    action: str
    object: str | None
    detail: Mapping[str, Any] | None


def write(
    connection: Connection,
    *,
    at_us: int,
    actor: str,
    role: str | None,
    via: str,
    address: str,
    action: str,
    about: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add an entry, in the transaction of what it tells about."""
    connection.execute(
        insert(audit).values(
            at_us=at_us,
            actor=actor[:64],
            role=role,
            via=via,
            address=address[:64],
            action=action,
            object=about[:128] if about else None,
            detail=dict(detail) if detail else None,
        )
    )


def entries(
    connection: Connection,
    *,
    before: int | None = None,
    actor: str | None = None,
    action: str | None = None,
    limit: int = 100,
) -> list[Entry]:
    """The newest first; `before`: an entry's id, to go on from."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(audit.c.id < before)
    if actor is not None:
        query = query.where(audit.c.actor == actor)
    if action is not None:
        query = query.where(audit.c.action.startswith(action, autoescape=True))
    return [Entry(**row._mapping) for row in connection.execute(query)]
