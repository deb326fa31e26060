"""Cases: reads and writes on a connection, no policy. Frozen values out; times microseconds UTC."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from collector.ledger.tables_cases import case_history, cases

CLOSED = "closed"
_AT_ONCE = 500  # SQLite takes a limited number of values in one statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case as it stands; the fields are those of the table."""

    number: int
    kind: str
    subject: str
    transaction: str | None
    related: str | None
    site: str | None
    agent: str | None
    terminal: str | None
    amount: int | None
    currency: str | None
    status: str
    reason: str | None
    owner: str | None
    due_us: int | None
    opened_us: int
    updated_us: int
    closed_us: int | None
    settled_us: int | None
    settled_as: str | None
    entries: int
    head: str

    @property
    def is_open(self) -> bool:
        """Whether somebody still has to see to it."""
        return self.status != CLOSED

    def overdue(self, now_us: int) -> bool:
        """Whether the time when somebody should have looked is over."""
        return self.is_open and self.due_us is not None and self.due_us <= now_us


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of a case's history. `data`: JSON, exactly as it was hashed."""

    case: int
    entry: int
    at_us: int
    actor: str
    via: str
    action: str
    data: str
    before: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which cases; None means any. `open` True: not closed; `overdue_us`: due before then and not closed."""

    open: bool | None = None
    status: str | None = None
    kind: str | None = None
    owner: str | None = None
    site: str | None = None
    agent: str | None = None
    transaction: str | None = None
    overdue_us: int | None = None


_c = cases.c


def add(connection: Connection, values: dict[str, object]) -> int | None:
    """A new case's number; None when there is one of this kind and subject."""
    insert_ = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    query = insert_(cases).values(**values).on_conflict_do_nothing(index_elements=["kind", "subject"])
    number = connection.execute(query.returning(_c.number)).scalar_one_or_none()
    return None if number is None else int(number)


def case(connection: Connection, number: int, *, lock: bool = False) -> Case | None:
    """One case; `lock`: nobody else changes it before this transaction ends."""
    query = select(cases).where(_c.number == number)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return Case(**row._mapping) if row else None


def case_of(connection: Connection, kind: str, subject: str) -> Case | None:
    """The case of this kind about this subject."""
    row = connection.execute(select(cases).where(_c.kind == kind, _c.subject == subject)).one_or_none()
    return Case(**row._mapping) if row else None


def cases_of(connection: Connection, transactions: list[str]) -> list[Case]:
    """All cases about these transactions, or about another one because of them; the oldest first."""
    found: dict[int, Case] = {}
    for start in range(0, len(transactions), _AT_ONCE):
        some = transactions[start : start + _AT_ONCE]
        for column in (_c.transaction, _c.related):  # two index look-ups are quicker than one OR
            for row in connection.execute(select(cases).where(column.in_(some))):
                found[row.number] = Case(**row._mapping)
    return [found[number] for number in sorted(found)]


def find(connection: Connection, wanted: Wanted, limit: int, before: int | None = None) -> list[Case]:
    """The newest first; `before`: a number, to go on from."""
    query = select(cases).where(*_conditions(wanted)).order_by(_c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(_c.number < before)
    return [Case(**row._mapping) for row in connection.execute(query)]


def worklist(connection: Connection, wanted: Wanted, limit: int) -> list[Case]:
    """Those that are due first, first; without a due time, last."""
    query = select(cases).where(*_conditions(wanted)).order_by(_c.due_us.is_(None), _c.due_us, _c.number).limit(limit)
    return [Case(**row._mapping) for row in connection.execute(query)]


def count(connection: Connection, wanted: Wanted) -> int:
    """How many there are."""
    return int(connection.execute(select(func.count()).select_from(cases).where(*_conditions(wanted))).scalar_one())


def count_by_status(connection: Connection) -> dict[tuple[str, str], int]:
    """(kind, status) → how many, of those that are not closed."""
    query = select(_c.kind, _c.status, func.count()).where(_c.status != CLOSED).group_by(_c.kind, _c.status)
    return {(kind, status): int(number) for kind, status, number in connection.execute(query)}


def change(connection: Connection, number: int, values: dict[str, object]) -> None:
    """Set columns of one case."""
    connection.execute(update(cases).where(_c.number == number).values(**values))


def append(connection: Connection, entry: Entry) -> None:
    """Add to a history."""
    connection.execute(
        insert(case_history).values(**{name: getattr(entry, name) for name in Entry.__dataclass_fields__})
    )


def history(connection: Connection, number: int) -> list[Entry]:
    """Everything that happened to a case, oldest first."""
    query = select(case_history).where(case_history.c.case == number).order_by(case_history.c.entry)
    return [Entry(**row._mapping) for row in connection.execute(query)]


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    for column, value in (
        (_c.status, wanted.status),
        (_c.kind, wanted.kind),
        (_c.owner, wanted.owner),
        (_c.site, wanted.site),
        (_c.agent, wanted.agent),
        (_c.transaction, wanted.transaction),
    ):
        if value is not None:
            found.append(column == value)
    if wanted.open is not None:
        found.append(_c.status != CLOSED if wanted.open else _c.status == CLOSED)
    if wanted.overdue_us is not None:
        found += [_c.status != CLOSED, _c.due_us <= wanted.overdue_us]
    return found
