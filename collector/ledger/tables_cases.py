"""Tables of cases: what people have to see to, and the history of each, which takes rows and gives none back.

`cases` is how a case stands now; `case_history` is how it came to be so: triggers refuse UPDATE and DELETE (migration
0003), and each entry carries the hash of the one before it (collector/cases/chain.py).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text, text

from collector.ledger.metadata import metadata

_Number = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows itself only when the key is INTEGER

cases = Table(
    "cases",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),  # what it is about: (kind, subject) is one case, however often it is found
    Column("transaction", Text),
    Column("related", Text),  # the other transaction of a possible double charge
    Column("site", Text),
    Column("agent", Text),
    Column("terminal", Text),
    Column("amount", BigInteger),  # minor units in question
    Column("currency", Text),
    Column("status", Text, nullable=False),
    Column("reason", Text),  # why it is closed
    Column("owner", Text),  # an account's name
    Column("due_us", BigInteger),  # when somebody has to look again
    Column("opened_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("closed_us", BigInteger),
    Column("settled_us", BigInteger),  # when the truth about its transaction became known
    Column("settled_as", Text),  # and which: the outcome
    Column("entries", Integer, nullable=False),  # length of the history
    Column("head", Text, nullable=False),  # hash of its last entry
    Index("uq_cases_kind_subject", "kind", "subject", unique=True),
    Index("ix_cases_transaction", "transaction"),
    Index("ix_cases_related", "related"),
    Index(
        "ix_cases_open", "due_us", sqlite_where=text("status <> 'closed'"), postgresql_where=text("status <> 'closed'")
    ),
)

case_history = Table(
    "case_history",
    metadata,
    Column("case", BigInteger, primary_key=True, autoincrement=False),
    Column("entry", Integer, primary_key=True, autoincrement=False),  # 1, 2, 3 …
    Column("at_us", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("via", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("data", Text, nullable=False),  # JSON as it was hashed
    Column("before", Text, nullable=False),  # hash of the entry before, empty for the first
    Column("hash", Text, nullable=False),
)
