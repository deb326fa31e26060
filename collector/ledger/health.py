"""Whether the database answers."""

from __future__ import annotations

from sqlalchemy import Connection, select

from collector.ledger.tables import agents


def ping(connection: Connection) -> None:
    """Raises sqlalchemy.exc.SQLAlchemyError when the database or its schema is away."""
    connection.execute(select(agents.c.agent).limit(1)).first()
