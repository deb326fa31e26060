"""Brings a database's schema up to this version, step by step, whoever else tries at the same time.

Each file in versions/ is one step and is never changed once released. A step names what it builds upon; groups of
tables that don't need each other may stand side by side, so there may be several heads: all are applied.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from collector.errors import LedgerError

_FOLDER = Path(__file__).parent
_LOCK = 0x7411_7A7C  # any number, the same in every version: PostgreSQL's advisory lock of the migration


def upgrade(connection: Connection, where: str) -> None:
    """Apply what is missing, in the write transaction that `connection` is in.

    Raises LedgerError when the database was written by a newer version; nothing was touched then.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    script = ScriptDirectory.from_config(config)
    known = {revision.revision for revision in script.walk_revisions()}
    present = set(MigrationContext.configure(connection).get_current_heads())
    if present - known:
        raise LedgerError("ledger.too_new", where=where, found=", ".join(sorted(present - known)), known=max(known))
    if present != set(script.get_heads()):
        command.upgrade(config, "heads")
