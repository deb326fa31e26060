"""Tables of reconciliation: runs, the state of each day, differences, rows carried from day to day, findings.

Nothing that agreed within its own day is kept row by row; its numbers are in the run and in the day.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, Text

from collector.ledger.metadata import Json, metadata

#: SQLite numbers rows itself only when the key is a plain INTEGER.
_Number = BigInteger().with_variant(Integer, "sqlite")

reconcile_runs = Table(
    "reconcile_runs",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("day", Text, nullable=False),  # YYYY-MM-DD, business day in `zone`
    Column("zone", Text, nullable=False),
    Column("started_us", BigInteger, nullable=False),
    Column("ended_us", BigInteger, nullable=False),
    Column("as_of_us", BigInteger, nullable=False),  # judged as of this time
    Column("by", Text, nullable=False),  # who: a person's name, "nightly"
    Column("closed", Boolean, nullable=False),  # whether it also settled pending ones and opened cases
    Column("counts", Json, nullable=False),  # category → payments of the day
    Column("amounts", Json, nullable=False),  # category → minor units
    Column("files", Json, nullable=False),  # what was read: see collector.ledger.reconcile.FileRead
    Column("sides", Json, nullable=False),  # side → rows of the day
    Column("settled", Integer, nullable=False),  # differences that this run proved settled
    Column("proved", Integer, nullable=False),  # pending transactions that the file proved
    Index("ix_reconcile_runs_day", "day"),
)

reconcile_days = Table(
    "reconcile_days",
    metadata,
    Column("day", Text, primary_key=True),
    Column("run", BigInteger, nullable=False),  # the newest of the day
    Column("covered", Json, nullable=False),  # sides whose file of this day has been read: ["acquirer", "his"]
)

reconcile_differences = Table(
    "reconcile_differences",
    metadata,
    Column("id", Text, primary_key=True),  # from the anchor: the same difference has the same id in every run
    Column("anchor", Text, nullable=False),
    Column("day", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("why", Text, nullable=False),  # key of the explanation
    Column("status", Text, nullable=False),  # open, in_transit, settled
    Column("confirm", Boolean, nullable=False),  # only a weak key joins its rows: a person must look
    Column("kind", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),  # minor units that are in question; money out is negative
    Column("currency", Text),
    Column("site", Text),
    Column("agent", Text),
    Column("terminal", Text),
    Column("terminal_id", Text),
    Column("transaction", Text),  # of the journal
    Column("order_no", Text),
    Column("reference", Text),
    Column("last4", Text),
    Column("time_us", BigInteger),
    Column("due_us", BigInteger),  # in transit until then
    Column("evidence", Json, nullable=False),  # the rows, as stated by each side
    Column("candidates", Json, nullable=False),  # rows that may belong to it, for a person to compare
    Column("first_run", BigInteger, nullable=False),
    Column("last_run", BigInteger, nullable=False),
    Column("settled_run", BigInteger),
    Column("settled_day", Text),  # the day whose run settled it
    Column("settled_how", Text),  # matched, reversed, gone, person
    Column("settled_by", Text),
    Column("note", Text),
    Column("case", Text),
    Column("found_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Index("ix_reconcile_differences_day", "day"),
    Index("ix_reconcile_differences_status_day", "status", "day"),
    Index("ix_reconcile_differences_transaction", "transaction"),
)

reconcile_entries = Table(
    "reconcile_entries",
    metadata,
    Column("day", Text, primary_key=True),
    Column("side", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("data", Json, nullable=False),  # the row of the file; its card is masked
)

reconcile_findings = Table(
    "reconcile_findings",
    metadata,
    Column("transaction", Text, primary_key=True),
    Column("day", Text, nullable=False),
    Column("outcome", Text, nullable=False),  # approved or reversed: what the file proves
    Column("run", BigInteger, nullable=False),
    Column("file", Text, nullable=False),
    Column("line", Integer, nullable=False),
    Column("row", Json, nullable=False),
    Column("key", Text, nullable=False),  # which key joined row and transaction
    Column("found_us", BigInteger, nullable=False),
    Index("ix_reconcile_findings_day", "day"),
)
