"""Many rows at once, as each database likes it best: COPY on PostgreSQL, one prepared statement on SQLite.

What to do when a key is there already is written once, as a function of the two rows, and holds for both databases.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any

from sqlalchemy import JSON, Connection, MetaData, Table, case, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import ColumnElement

from collector.ledger.project import compact

#: (the row that is there, the row that comes) → column → its new value
Resolve = Callable[[Any, Any], Mapping[str, ColumnElement[Any]]]
#: (the row that is there, the row that comes) → a condition
Condition = Callable[[Any, Any], ColumnElement[bool]]


def append(connection: Connection, table: Table, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows that are known to be new; each has its values in the order of `names`."""
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        _copy(connection, table.name, names, rows)
        return
    holders = ", ".join("?" * len(names))
    statement = f"INSERT INTO {table.name} ({_quoted(names)}) VALUES ({holders})"  # noqa: S608 (our own names)
    connection.exec_driver_sql(statement, list(rows))


def append_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """The same for rows by name, all with the same columns."""
    if rows:
        names = tuple(rows[0])
        append(connection, table, names, [tuple(_plain(row[name]) for name in names) for row in rows])


def _plain(value: Any) -> Any:
    return compact(value) if isinstance(value, list | dict) else value


class Merge:
    """Inserts rows into a table; where the key is there already, does what `resolve` says.

    Without `resolve` the row that is there stays. `only`: when a row that is there may be touched at all. Rows are
    taken in the order of their key, so that two collectors never wait for each other in a circle. `key`: a unique key
    other than the primary one. Each is used at most once in a transaction: on PostgreSQL its stage, a temporary table
    of its own, is emptied at the end of it.
    """

    _numbers = itertools.count(1)

    def __init__(
        self,
        table: Table,
        names: Iterable[str],
        resolve: Resolve | None = None,
        only: Condition | None = None,
        key: Sequence[str] = (),
    ) -> None:
        self._table = table
        self._names = tuple(names)
        self._keys = list(key) or [column.name for column in table.primary_key]
        self._resolve = resolve
        self._only = only
        self._pick = itemgetter(*self._names)
        self._documents = [place for place, name in enumerate(self._names) if isinstance(table.c[name].type, JSON)]
        self._stage = f"staged_{table.name}_{next(self._numbers)}"

    def __call__(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Do it. Each row has all the columns; of one key there is one row."""
        ordered = sorted(rows, key=itemgetter(*self._keys))
        if not ordered:
            return
        if connection.dialect.name != "postgresql":
            connection.execute(self._for_sqlite, ordered)
            return
        connection.exec_driver_sql(
            f"CREATE TEMP TABLE IF NOT EXISTS {self._stage} (LIKE {self._table.name} INCLUDING DEFAULTS)"
            " ON COMMIT DELETE ROWS"
        )
        _copy(connection, self._stage, self._names, [self._values(row) for row in ordered])
        connection.execute(self._for_postgresql)

    def _values(self, row: Mapping[str, Any]) -> list[Any]:
        values = list(self._pick(row))
        for place in self._documents:
            if values[place] is not None:
                values[place] = compact(values[place])
        return values

    @cached_property
    def _for_sqlite(self) -> Any:
        return self._settle(sqlite.insert(self._table))

    @cached_property
    def _for_postgresql(self) -> Any:
        staged = self._table.to_metadata(MetaData(), name=self._stage)
        source = select(*(staged.c[name] for name in self._names)).order_by(*(staged.c[key] for key in self._keys))
        return self._settle(postgresql.insert(self._table).from_select(self._names, source))

    def _settle(self, statement: Any) -> Any:
        if self._resolve is None:
            return statement.on_conflict_do_nothing(index_elements=self._keys)
        new = statement.excluded
        return statement.on_conflict_do_update(
            index_elements=self._keys,
            set_=dict(self._resolve(self._table.c, new)),
            where=self._only(self._table.c, new) if self._only else None,
        )


def when(newer: Condition, names: Iterable[str]) -> Resolve:
    """A rule: these columns are taken from the row that comes when the condition holds, else they stay."""
    chosen = tuple(names)

    def resolve(old: Any, new: Any) -> Mapping[str, ColumnElement[Any]]:
        return {name: case((newer(old, new), new[name]), else_=old[name]) for name in chosen}

    return resolve


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _copy(connection: Connection, table: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({_quoted(names)}) FROM STDIN") as copy:
        write = copy.write_row
        for row in rows:
            write(row)
