"""How to connect: the two databases, set up so that a commit is on the disk when it returns."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from collector.errors import CollectorUsageError

_BUSY_MS = 30_000
_CONNECT_S = 10


def engine_of(url: str) -> Engine:
    """The engine for that address; connects to nothing yet. Raises CollectorUsageError for an address that is none."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise CollectorUsageError("ledger.bad_url") from None
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    if parsed.get_backend_name() in ("postgresql", "postgres"):
        return _postgresql(parsed)
    raise CollectorUsageError("ledger.bad_url")


def shown_url(url: URL) -> str:
    """The address without the password, as people wrote it."""
    plain = url.set(drivername=url.get_backend_name())
    return plain.render_as_string(hide_password=True)


def reason_of(error: DBAPIError) -> str:
    """What the database said, in one line."""
    return " ".join(str(error.orig).split()) or type(error.orig).__name__


def _sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise CollectorUsageError("ledger.no_file")
    if not Path(url.database).absolute().parent.is_dir():
        raise CollectorUsageError("ledger.no_folder", folder=Path(url.database).absolute().parent)
    engine = create_engine(url.set(drivername="sqlite+pysqlite"), connect_args={"timeout": _BUSY_MS / 1000})
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # Without this the driver would begin transactions when it thinks fit, and never before DDL.
    connection.isolation_level = None
    _use_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")  # WAL alone would lose the last commits with the power
    connection.execute("PRAGMA cache_size = -32768")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL. Of several that begin with a new file one does it; SQLite tells the others at once that it is

    locked, whatever the time-out: they try again.
    """
    give_up = time.monotonic() + _BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    # A reader that turns writer half-way can only fail when another wrote meanwhile: writers say so at once.
    options = connection.get_execution_options()
    # Each time: the connection comes from a pool, and who had it before may have been less patient.
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {options.get('tillwatch_patience_ms') or _BUSY_MS}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("tillwatch_writes") else "BEGIN")


def _postgresql(url: URL) -> Engine:
    url = url.set(drivername="postgresql+psycopg").update_query_dict({"application_name": "tillwatch"})
    return create_engine(url, pool_pre_ping=True, pool_size=10, connect_args={"connect_timeout": _CONNECT_S})
