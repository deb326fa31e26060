"""Tables of alerts: what is going on now, and the messages that wait to be delivered."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text, text

from collector.ledger.metadata import Json, metadata

alert_incidents = Table(
    "alert_incidents",
    metadata,
    Column("rule", Text, primary_key=True),
    Column("key", Text, primary_key=True),  # what it is about: a transaction, an agent, …
    Column("number", Integer, nullable=False),  # which time it happens to this key
    Column("since_us", BigInteger, nullable=False),  # when it began, as the ledger knows
    Column("opened_us", BigInteger, nullable=False),  # when the rule's time was over
    Column("resolved_us", BigInteger),
    Column("detail", Json, nullable=False),
    Index(
        "ix_alert_incidents_open",
        "rule",
        sqlite_where=text("resolved_us IS NULL"),
        postgresql_where=text("resolved_us IS NULL"),
    ),
)

webhook_outbox = Table(
    "webhook_outbox",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("webhook", Text, nullable=False),
    Column("incident", Text, nullable=False),
    Column("state", Text, nullable=False),  # firing, resolved
    Column("body", Text, nullable=False),  # JSON, exactly as it is signed and sent
    Column("created_us", BigInteger, nullable=False),
    Column("due_us", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("taken_until_us", BigInteger, nullable=False),  # a collector is at it until then
    Column("done_us", BigInteger),
    Column("result", Text),  # delivered, given_up; before that the last failure
    Index("uq_webhook_outbox_once", "webhook", "incident", "state", unique=True),
    Index(
        "ix_webhook_outbox_waiting",
        "webhook",
        "number",
        sqlite_where=text("done_us IS NULL"),
        postgresql_where=text("done_us IS NULL"),
    ),
)
