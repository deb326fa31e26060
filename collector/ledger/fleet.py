"""The fleet's configurations: reads and writes on a connection, no policy."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, insert, select

from collector.ledger.tables import agents
from collector.ledger.tables_enrol import fleet_configurations


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetConfiguration:
    """One version, as it was signed. `signature`: Ed25519 over the document's UTF-8, base64."""

    version: int
    document: str
    signature: str
    published_us: int
    published_by: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What an agent told last: the version in force there, and one that it refused, with the reason."""

    version: int | None
    refused: int | None
    reason: str | None


def standings(connection: Connection) -> dict[str, Standing]:
    """By agent; only those that told something of it."""
    found: dict[str, Standing] = {}
    for agent, state in connection.execute(select(agents.c.agent, agents.c.state)):
        told = state.get("configuration") if isinstance(state, dict) else None
        if isinstance(told, dict):
            refused = told.get("refused")
            refused = refused if isinstance(refused, dict) else {}
            found[agent] = Standing(_number(told.get("version")), _number(refused.get("version")), _text(refused))
    return found


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(refused: dict[str, object]) -> str | None:
    reason = refused.get("reason")
    return reason[:300] if isinstance(reason, str) else None


def add(connection: Connection, configuration: FleetConfiguration) -> None:
    """A version. Raises sqlalchemy.exc.IntegrityError when there is one of that number."""
    connection.execute(insert(fleet_configurations).values(asdict(configuration)))


def newest(connection: Connection) -> FleetConfiguration | None:
    """The version with the highest number."""
    query = select(fleet_configurations).order_by(fleet_configurations.c.version.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return FleetConfiguration(**row._mapping) if row else None


def version(connection: Connection, number: int) -> FleetConfiguration | None:
    """One version."""
    query = select(fleet_configurations).where(fleet_configurations.c.version == number)
    row = connection.execute(query).one_or_none()
    return FleetConfiguration(**row._mapping) if row else None


def versions(connection: Connection, limit: int = 100) -> list[FleetConfiguration]:
    """The newest first."""
    query = select(fleet_configurations).order_by(fleet_configurations.c.version.desc()).limit(limit)
    return [FleetConfiguration(**row._mapping) for row in connection.execute(query)]
