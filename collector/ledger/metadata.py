"""The one MetaData of all tables, and the types that read the same on SQLite and PostgreSQL.

Times are whole microseconds UTC since 1970 (`*_us`), money whole minor units, both BigInteger.
"""

from __future__ import annotations

from sqlalchemy import JSON, MetaData
from sqlalchemy.types import TypeEngine

#: Names of constraints and indexes are fixed, so that a migration can speak of them on both databases.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: JSON kept as it was written: nothing queries inside it, so it is never taken apart by the database.
Json: TypeEngine[object] = JSON(none_as_null=True)
