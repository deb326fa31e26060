"""The core tables: what agents told. Everything else of the collector refers to these by value, never by foreign key:

an event may come before whatever it is about.

`events` is the truth; `transactions`, `receipts`, `settlements`, `terminals` and `agents` are what follows from it
(project.py) and could be built again. On PostgreSQL `events` is partitioned by month of `time_us` (partitions.py): an
event that comes twice bears the same time, so that the primary key sees it whichever month it comes in.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    Table,
    Text,
    and_,
    literal_column,
    text,
)

from collector.ledger.metadata import Json, metadata

#: SQLite numbers rows itself only when the key is a plain INTEGER.
_Number = BigInteger().with_variant(Integer, "sqlite")

agents = Table(
    "agents",
    metadata,
    Column("agent", Text, primary_key=True),
    Column("site", Text, nullable=False),
    Column("version", Text),
    Column("online", Boolean, nullable=False),
    Column("since_us", BigInteger),  # the agent's own start
    Column("last_seen_us", BigInteger, nullable=False),  # when anything of it came here last
    Column("epoch", Text),  # the newest journal
    Column("sequence", BigInteger),  # the journal's last number, as the agent states it
    Column("pending", Integer),
    Column("outbox", BigInteger),
    Column("state", Json),  # the retained message, as published
    Column("state_us", BigInteger),  # when it came
)

streams = Table(
    "streams",
    metadata,
    Column("agent", Text, primary_key=True),
    Column("epoch", Text, primary_key=True),
    Column("site", Text, nullable=False),
    Column("opened_us", BigInteger, nullable=False),  # when its first event came: orders the epochs of an agent
    Column("contiguous", BigInteger, nullable=False),  # all up to here are stored (or given up)
    Column("highest", BigInteger, nullable=False),  # seen, or known from the agent's state
    Column("gaps", Json, nullable=False),  # [[first, last], …] missing between contiguous and highest
    Column("lost", Json, nullable=False),  # [[first, last], …] given up: the agent has them no more
    Column("gap_since_us", BigInteger),  # since when something is missing
    Column("progress_us", BigInteger, nullable=False),  # when something that was missing or new came last
    Column("asked_us", BigInteger),  # when the agent was last asked to send again
    Column("asks", Integer, nullable=False),  # how often, without any progress
    Index(
        "ix_streams_gap_since_us",
        "gap_since_us",
        sqlite_where=text("gap_since_us IS NOT NULL"),
        postgresql_where=text("gap_since_us IS NOT NULL"),
    ),
)

events = Table(
    "events",
    metadata,
    Column("agent", Text, primary_key=True),
    Column("epoch", Text, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("time_us", BigInteger, primary_key=True, autoincrement=False),
    Column("received_us", BigInteger, nullable=False),
    Column("site", Text, nullable=False),
    Column("terminal", Text),
    Column("type", Text, nullable=False),
    Column("subject", Text),  # the transaction
    Column("projected", Boolean, nullable=False),  # false: a type or a form that this version does not know
    Column("body", Text, nullable=False),  # the CloudEvent, as received
    Index("ix_events_subject", "subject"),
    Index("ix_events_time_us", "time_us", postgresql_using="brin"),
    Index("ix_events_received_us", "received_us", postgresql_using="brin"),  # live streams go on from a moment
    postgresql_partition_by="RANGE (time_us)",
)

raw_events = Table(
    "raw_events",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("received_us", BigInteger, nullable=False),
    Column("topic", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True),  # SHA-256 of topic and payload: a repetition is one row
    Column("payload", Text, nullable=False),  # bytes that are no UTF-8 as backslash escapes
    Column("why", Text, nullable=False),
)

refusals = Table(
    "refusals",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("first_us", BigInteger, nullable=False),
    Column("last_us", BigInteger, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("topic", Text, nullable=False),
    Column("claimed", Text, nullable=False),  # the identity in the payload
    Column("why", Text, nullable=False),
    Column("payload", Text, nullable=False),  # the latest one, cut
    Index("uq_refusals_topic_claimed_why", "topic", "claimed", "why", unique=True),
)

transactions = Table(
    "transactions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("site", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("terminal", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("amount", BigInteger),
    Column("currency", Text),
    Column("outcome", Text, nullable=False),
    Column("charged", Text, nullable=False),
    Column("delivered", Text, nullable=False),
    Column("final", Boolean, nullable=False),
    Column("pending", Boolean, nullable=False),  # in doubt: it has a reason and is not final
    Column("escalated", Boolean, nullable=False),  # people were called, and it is still not final
    Column("response_code", Text),
    Column("trace", Text),
    Column("batch", Text),
    Column("reference", Text),
    Column("approval_code", Text),
    Column("terminal_id", Text),
    Column("merchant_id", Text),
    Column("card_masked", Text),
    Column("last4", Text),
    Column("scheme", Text),
    Column("order_no", Text),  # data.order
    Column("channel_order", Text),
    Column("reason", Text),
    Column("how", Text),
    Column("attempts", Integer, nullable=False),
    Column("started_us", BigInteger, nullable=False),
    Column("ended_us", BigInteger),
    Column("terminal_time", Text),
    Column("updated_us", BigInteger, nullable=False),  # the time of its newest event
    Column("pending_us", BigInteger),  # first transaction.pending
    Column("escalated_us", BigInteger),  # first transaction.escalated
    Column("settled_us", BigInteger),  # first transaction.confirmed
    Column("warning", Text),  # of the newest transaction.warning
    Column("related", Text),
    Column("opened_us", BigInteger, nullable=False),  # of the newest event's stream: orders epochs
    Column("epoch", Text, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    Column("events", Integer, nullable=False),  # how many transaction.* events
    Column("data", Json, nullable=False),  # the newest transaction data, as published
    Column("reconciled_us", BigInteger),  # set by reconciliation, with its category
    Column("reconciled_as", Text),
    Index("ix_transactions_started_us", "started_us"),
    Index("ix_transactions_agent_started_us", "agent", "started_us"),
    Index("ix_transactions_last4_started_us", "last4", "started_us"),
    Index(
        "ix_transactions_pending",
        "started_us",
        sqlite_where=text("pending = 1"),  # SQLite takes a partial index only for the very words of the query
        postgresql_where=text("pending"),
    ),
    Index(
        "ix_transactions_unsettled",
        "started_us",
        sqlite_where=text("final = 0"),
        postgresql_where=text("NOT final"),
    ),
    Index(
        "ix_transactions_in_vain",
        "started_us",
        sqlite_where=text("charged = 'yes' AND delivered = 'no'"),
        postgresql_where=text("charged = 'yes' AND delivered = 'no'"),
    ),
    postgresql_with={"fillfactor": "80"},  # a payment is written a few times within a minute
)

#: charged, and the cashier application did not take the answer: in the very words of the index
in_vain = and_(
    transactions.c.charged == literal_column("'yes'", Text), transactions.c.delivered == literal_column("'no'", Text)
)

receipts = Table(
    "receipts",
    metadata,
    Column("agent", Text, primary_key=True),
    Column("epoch", Text, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("site", Text, nullable=False),
    Column("terminal", Text, nullable=False),
    Column("transaction", Text),
    Column("receipt_kind", Text),  # merchant, customer, administration
    Column("complete", Boolean, nullable=False),
    Column("text", Text, nullable=False),  # lines joined by \n
    Column("time_us", BigInteger, nullable=False),
    Index("ix_receipts_transaction", "transaction"),
    Index("ix_receipts_time_us", "time_us"),
)

settlements = Table(
    "settlements",
    metadata,
    Column("agent", Text, primary_key=True),
    Column("epoch", Text, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("site", Text, nullable=False),
    Column("terminal", Text, nullable=False),
    Column("transaction", Text),
    Column("totals", Json, nullable=False),  # as published
    Column("journal_count", BigInteger, nullable=False),
    Column("journal_amount", BigInteger, nullable=False),
    Column("matches", Boolean),
    Column("balanced", Boolean),
    Column("time_us", BigInteger, nullable=False),
    Index("ix_settlements_time_us", "time_us"),
)

terminals = Table(
    "terminals",
    metadata,
    Column("agent", Text, primary_key=True),
    Column("terminal", Text, primary_key=True),
    Column("site", Text, nullable=False),
    Column("protocol", Text),
    Column("device", Text),
    Column("link", Text),  # up, down, degraded
    Column("reason", Text),
    Column("detail", Text),
    Column("since_us", BigInteger),  # the link is so since then
    Column("last_frame_us", BigInteger),
    Column("told_us", BigInteger, nullable=False),  # how new the link's state is
    Column("metrics", Json),  # the terminal's part of the agent's last metrics
    Column("metrics_us", BigInteger),
)

metrics = Table(
    "metrics",
    metadata,
    Column("agent", Text, primary_key=True),
    Column("terminal", Text, primary_key=True),  # "" for the agent itself
    Column("name", Text, primary_key=True),
    Column("time_us", BigInteger, primary_key=True, autoincrement=False),
    Column("value", Float, nullable=False),
    Index("ix_metrics_time_us", "time_us"),
)
