"""The fleet's configurations: reads and writes on a connection, no policy."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, insert, select

from collector.ledger.tables_enrol import fleet_configurations


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetConfiguration:
    """One version, as it was signed. `signature`: Ed25519 over the document's UTF-8, base64."""

    version: int
    document: str
    signature: str
    published_us: int
    published_by: str


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
