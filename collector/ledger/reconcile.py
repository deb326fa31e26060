"""Reads and writes of reconciliation on a connection. Frozen values out; no policy here (collector/reconcile).

For pages: `days`, `day`, `runs`, `differences`, `difference`, `finding_of`. For the run: the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    ScalarSelect,
    and_,
    delete,
    exists,
    func,
    insert,
    select,
    text,
    update,
)

from agent.events import Certainty, TransactionData
from collector.ledger.entries import Entry
from collector.ledger.tables_reconcile import (
    reconcile_days,
    reconcile_differences,
    reconcile_entries,
    reconcile_findings,
    reconcile_runs,
)
from drivers.observations import Outcome

_LOCK = 0x7411_4EC0  # any number of our own, the same in every version

OPEN = "open"
IN_TRANSIT = "in_transit"
SETTLED = "settled"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRead:
    """One file as a run read it. `total_ok` None: it states no total. Amounts in minor units."""

    side: str
    name: str
    path: str  # where it was: a later run of the day reads it again from there
    format: str
    sha256: str
    rows: int
    amount: int
    bad: int
    skipped: int
    other_days: int
    total_ok: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One reconciliation of one day. `counts`, `amounts`: category → payments, minor units."""

    number: int
    day: str
    zone: str
    started_us: int
    ended_us: int
    as_of_us: int
    by: str
    closed: bool
    counts: Mapping[str, int]
    amounts: Mapping[str, int]
    files: tuple[FileRead, ...]
    sides: Mapping[str, int]
    settled: int
    proved: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A business day as it stands: its newest run, and its differences by status now."""

    day: str
    run: Run
    covered: tuple[str, ...]
    open: int
    in_transit: int
    settled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One difference, with the rows that show it. Its words: collector.reconcile.explain."""

    id: str
    anchor: str
    day: str
    category: str
    why: str
    status: str
    confirm: bool
    kind: str
    amount: int
    currency: str | None
    site: str | None
    agent: str | None
    terminal: str | None
    terminal_id: str | None
    transaction: str | None
    order_no: str | None
    reference: str | None
    last4: str | None
    time_us: int | None
    due_us: int | None
    evidence: tuple[Entry, ...]
    candidates: tuple[Entry, ...]
    first_run: int
    last_run: int
    settled_run: int | None
    settled_day: str | None
    settled_how: str | None
    settled_by: str | None
    note: str | None
    case: str | None
    found_us: int
    updated_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a file proved about a transaction whose outcome nobody knew. Not an event of an agent."""

    transaction: str
    day: str
    outcome: str
    run: int
    file: str
    line: int
    row: Entry
    key: str
    found_us: int

    def told_by(self, data: TransactionData, *, booked: bool) -> TransactionData:
        """The transaction as it stands with this: `data` is as its agent published it, which knew no more.

        `booked`: whether the HIS has it too; the cashier application took no answer at the window.
        """
        charged = self.outcome == Outcome.APPROVED
        return replace(
            data,
            outcome=Outcome(self.outcome),
            charged=Certainty.YES if charged else Certainty.NO,
            delivered=Certainty.YES if booked else Certainty.NO,
            final=True,
            advice=None,
        )


def days(connection: Connection, *, limit: int = 62, before: str | None = None) -> list[Day]:
    """The days that were reconciled, newest first; `before`: only earlier ones."""
    query = select(reconcile_days).order_by(reconcile_days.c.day.desc()).limit(limit)
    if before is not None:
        query = query.where(reconcile_days.c.day < before)
    return [_day(connection, row) for row in connection.execute(query).all()]


def day(connection: Connection, wanted: str) -> Day | None:
    """One day (YYYY-MM-DD)."""
    row = connection.execute(select(reconcile_days).where(reconcile_days.c.day == wanted)).one_or_none()
    return None if row is None else _day(connection, row)


def runs(connection: Connection, wanted: str, *, limit: int = 50) -> list[Run]:
    """The runs of a day, newest first."""
    query = select(reconcile_runs).where(reconcile_runs.c.day == wanted)
    return [_run(row) for row in connection.execute(query.order_by(reconcile_runs.c.number.desc()).limit(limit))]


def run(connection: Connection, number: int) -> Run | None:
    """One run."""
    row = connection.execute(select(reconcile_runs).where(reconcile_runs.c.number == number)).one_or_none()
    return None if row is None else _run(row)


def differences(
    connection: Connection,
    *,
    day: str | None = None,
    status: Sequence[str] = (),
    category: str | None = None,
    transaction: str | None = None,
    limit: int = 500,
    offset: int = 0,
) -> list[Difference]:
    """Differences, the open ones first, then by time. No filter: all."""
    table = reconcile_differences
    wanted: list[ColumnElement[bool]] = []
    if day is not None:
        wanted.append(table.c.day == day)
    if status:
        wanted.append(table.c.status.in_(status))
    if category is not None:
        wanted.append(table.c.category == category)
    if transaction is not None:
        wanted.append(table.c.transaction == transaction)
    order = (table.c.day.desc(), table.c.status == SETTLED, table.c.category, table.c.time_us, table.c.id)
    query = select(table).where(*wanted).order_by(*order).limit(limit).offset(offset)
    return [_difference(row) for row in connection.execute(query)]


def difference(connection: Connection, wanted: str) -> Difference | None:
    """One difference with its evidence."""
    table = reconcile_differences
    row = connection.execute(select(table).where(table.c.id == wanted)).one_or_none()
    return None if row is None else _difference(row)


def finding_of(connection: Connection, transaction: str) -> Finding | None:
    """What a file proved about this transaction, where one did."""
    table = reconcile_findings
    row = connection.execute(select(table).where(table.c.transaction == transaction)).one_or_none()
    return None if row is None else _finding(row)


def findings(connection: Connection, wanted: str) -> list[Finding]:
    """All that the files proved about the transactions of a day."""
    table = reconcile_findings
    query = select(table).where(table.c.day == wanted).order_by(table.c.transaction)
    return [_finding(row) for row in connection.execute(query)]


def proved(transaction: ColumnElement[str]) -> ColumnElement[bool]:
    """For queries of payments: whether a file proved what became of this one. Such a one is in doubt no more."""
    return exists().where(reconcile_findings.c.transaction == transaction)


def proved_as(transaction: ColumnElement[str]) -> ScalarSelect[str]:
    """For queries of payments: the outcome that a file proved, NULL where none did."""
    outcome = select(reconcile_findings.c.outcome).where(reconcile_findings.c.transaction == transaction)
    return outcome.scalar_subquery()


def settle_by_person(connection: Connection, wanted: str, *, by: str, note: str, at_us: int) -> bool:
    """A person looked and settled it: later runs leave it settled. False when there is none, or it is settled."""
    table = reconcile_differences
    changed = connection.execute(
        update(table)
        .where(table.c.id == wanted, table.c.status != SETTLED)
        .values(status=SETTLED, settled_how="person", settled_by=by, note=note, updated_us=at_us)
    )
    return changed.rowcount > 0


def link_case(connection: Connection, wanted: str, case: str) -> None:
    """The case that people work on for this difference."""
    table = reconcile_differences
    connection.execute(update(table).where(table.c.id == wanted).values(case=case))


def differences_in_play(connection: Connection, wanted: str, *, since: str, until: str) -> list[Difference]:
    """What a run of the day looks at: all of the day; of days around it the unsettled, and those this day settled."""
    table = reconcile_differences
    around = and_(
        table.c.day.between(since, until),
        (table.c.status != SETTLED) | (table.c.settled_day == wanted),
    )
    rows = connection.execute(select(table).where((table.c.day == wanted) | around).order_by(table.c.id))
    return [_difference(row) for row in rows]


def covered(connection: Connection, *, since: str, until: str) -> dict[str, frozenset[str]]:
    """Day → sides whose file has been read, for days in the range."""
    table = reconcile_days
    rows = connection.execute(select(table.c.day, table.c.covered).where(table.c.day.between(since, until)))
    return {row.day: frozenset(row.covered) for row in rows}


def carried(connection: Connection, *, since: str, until: str, without: Iterable[tuple[str, str]]) -> list[Entry]:
    """Rows of files kept from the runs of days in the range, but for those (day, side) that are read anew."""
    table = reconcile_entries
    anew = set(without)
    query = select(table).where(table.c.day.between(since, until)).order_by(table.c.day, table.c.side, table.c.key)
    return [Entry.of_plain(row.data) for row in connection.execute(query) if (row.day, row.side) not in anew]


def keep_entries(connection: Connection, day: str, side: str, rows: Sequence[Entry]) -> None:
    """These rows of the day's file are kept, in place of what an earlier run kept."""
    table = reconcile_entries
    connection.execute(delete(table).where(table.c.day == day, table.c.side == side))
    values = [{"day": day, "side": side, "key": row.key, "data": row.plain()} for row in rows]
    for start in range(0, len(values), 1000):
        connection.execute(insert(table), values[start : start + 1000])


def take_turns(connection: Connection) -> None:
    """Wait until no other run is being stored: two collectors, or a person and the night, may do the same day at once.

    SQLite has one writer at a time anyway.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def add_run(connection: Connection, values: Mapping[str, Any]) -> int:
    """Store a run; gives its number."""
    added = connection.execute(insert(reconcile_runs).values(**values).returning(reconcile_runs.c.number))
    return int(added.scalar_one())


def finish_run(connection: Connection, number: int, values: Mapping[str, Any]) -> None:
    """What is known of a run only at its end."""
    connection.execute(update(reconcile_runs).where(reconcile_runs.c.number == number).values(**values))


def set_day(connection: Connection, day: str, number: int, sides: Iterable[str]) -> None:
    """The day's newest run, and the sides whose file has been read by now."""
    table = reconcile_days
    connection.execute(delete(table).where(table.c.day == day))
    connection.execute(insert(table).values(day=day, run=number, covered=sorted(sides)))


def put_difference(connection: Connection, found: Difference, *, known: bool) -> None:
    """Write a difference, new or changed."""
    values = {name: getattr(found, name) for name in Difference.__slots__}
    values["evidence"] = [row.plain() for row in found.evidence]
    values["candidates"] = [row.plain() for row in found.candidates]
    table = reconcile_differences
    if known:
        connection.execute(update(table).where(table.c.id == found.id).values(values))
    else:
        connection.execute(insert(table).values(values))


def put_finding(connection: Connection, found: Finding) -> bool:
    """Write a finding; False when the same was known."""
    table = reconcile_findings
    before = finding_of(connection, found.transaction)
    if before is not None and before.outcome == found.outcome:
        return False
    connection.execute(delete(table).where(table.c.transaction == found.transaction))
    values = {name: getattr(found, name) for name in Finding.__slots__} | {"row": found.row.plain()}
    connection.execute(insert(table).values(values))
    return True


def drop_findings(connection: Connection, transactions: Iterable[str]) -> None:
    """What a corrected file no longer proves."""
    table = reconcile_findings
    wanted = list(transactions)
    if wanted:
        connection.execute(delete(table).where(table.c.transaction.in_(wanted)))


def _day(connection: Connection, row: Row[Any]) -> Day:
    found = run(connection, row.run)
    if found is None:
        raise LookupError(f"run {row.run} of {row.day} is missing")
    table = reconcile_differences
    counted = connection.execute(
        select(table.c.status, func.count()).where(table.c.day == row.day).group_by(table.c.status)
    )
    numbers = {str(status): int(count) for status, count in counted}
    return Day(
        day=row.day,
        run=found,
        covered=tuple(row.covered),
        open=numbers.get(OPEN, 0),
        in_transit=numbers.get(IN_TRANSIT, 0),
        settled=numbers.get(SETTLED, 0),
    )


def _run(row: Row[Any]) -> Run:
    return Run(**{**row._mapping, "files": tuple(FileRead(**file) for file in row.files)})


def _difference(row: Row[Any]) -> Difference:
    values = dict(row._mapping)
    for name in ("evidence", "candidates"):
        values[name] = tuple(Entry.of_plain(item) for item in values[name])
    return Difference(**values)


def _finding(row: Row[Any]) -> Finding:
    return Finding(**{**row._mapping, "row": Entry.of_plain(row.row)})
