"""The core: agents, streams, events, and what follows from them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _agents()
    _events()
    _metrics()
    _raw_events()
    _receipts()
    _refusals()
    _settlements()
    _streams()
    _terminals()
    _transactions()


def _agents() -> None:
    op.create_table(
        "agents",
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("online", sa.Boolean(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=True),
        sa.Column("last_seen_us", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=True),
        sa.Column("sequence", sa.BigInteger(), nullable=True),
        sa.Column("pending", sa.Integer(), nullable=True),
        sa.Column("outbox", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("state_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("agent", name=op.f("pk_agents")),
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time_us", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("received_us", sa.BigInteger(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("terminal", sa.Text(), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("projected", sa.Boolean(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("agent", "epoch", "sequence", "time_us", name=op.f("pk_events")),
        postgresql_partition_by="RANGE (time_us)",
    )
    op.create_index("ix_events_subject", "events", ["subject"], unique=False)
    op.create_index("ix_events_time_us", "events", ["time_us"], unique=False, postgresql_using="brin")
    op.create_index("ix_events_received_us", "events", ["received_us"], unique=False, postgresql_using="brin")

    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE TABLE events_default PARTITION OF events DEFAULT")


def _metrics() -> None:
    op.create_table(
        "metrics",
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("terminal", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("time_us", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("agent", "terminal", "name", "time_us", name=op.f("pk_metrics")),
    )
    op.create_index("ix_metrics_time_us", "metrics", ["time_us"], unique=False)


def _raw_events() -> None:
    op.create_table(
        "raw_events",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("received_us", sa.BigInteger(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_raw_events")),
        sa.UniqueConstraint("digest", name=op.f("uq_raw_events_digest")),
    )


def _receipts() -> None:
    op.create_table(
        "receipts",
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("terminal", sa.Text(), nullable=False),
        sa.Column("transaction", sa.Text(), nullable=True),
        sa.Column("receipt_kind", sa.Text(), nullable=True),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("agent", "epoch", "sequence", name=op.f("pk_receipts")),
    )
    op.create_index("ix_receipts_time_us", "receipts", ["time_us"], unique=False)
    op.create_index("ix_receipts_transaction", "receipts", ["transaction"], unique=False)


def _refusals() -> None:
    op.create_table(
        "refusals",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("first_us", sa.BigInteger(), nullable=False),
        sa.Column("last_us", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("claimed", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_refusals")),
    )
    op.create_index("uq_refusals_topic_claimed_why", "refusals", ["topic", "claimed", "why"], unique=True)


def _settlements() -> None:
    op.create_table(
        "settlements",
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("terminal", sa.Text(), nullable=False),
        sa.Column("transaction", sa.Text(), nullable=True),
        sa.Column("totals", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("journal_count", sa.BigInteger(), nullable=False),
        sa.Column("journal_amount", sa.BigInteger(), nullable=False),
        sa.Column("matches", sa.Boolean(), nullable=True),
        sa.Column("balanced", sa.Boolean(), nullable=True),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("agent", "epoch", "sequence", name=op.f("pk_settlements")),
    )
    op.create_index("ix_settlements_time_us", "settlements", ["time_us"], unique=False)


def _streams() -> None:
    op.create_table(
        "streams",
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("opened_us", sa.BigInteger(), nullable=False),
        sa.Column("contiguous", sa.BigInteger(), nullable=False),
        sa.Column("highest", sa.BigInteger(), nullable=False),
        sa.Column("gaps", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("lost", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("gap_since_us", sa.BigInteger(), nullable=True),
        sa.Column("progress_us", sa.BigInteger(), nullable=False),
        sa.Column("asked_us", sa.BigInteger(), nullable=True),
        sa.Column("asks", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("agent", "epoch", name=op.f("pk_streams")),
    )
    op.create_index(
        "ix_streams_gap_since_us",
        "streams",
        ["gap_since_us"],
        unique=False,
        sqlite_where=sa.text("gap_since_us IS NOT NULL"),
        postgresql_where=sa.text("gap_since_us IS NOT NULL"),
    )


def _terminals() -> None:
    op.create_table(
        "terminals",
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("terminal", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("protocol", sa.Text(), nullable=True),
        sa.Column("device", sa.Text(), nullable=True),
        sa.Column("link", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("since_us", sa.BigInteger(), nullable=True),
        sa.Column("last_frame_us", sa.BigInteger(), nullable=True),
        sa.Column("told_us", sa.BigInteger(), nullable=False),
        sa.Column("metrics", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("metrics_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("agent", "terminal", name=op.f("pk_terminals")),
    )


def _transactions() -> None:
    op.create_table(
        "transactions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("terminal", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("charged", sa.Text(), nullable=False),
        sa.Column("delivered", sa.Text(), nullable=False),
        sa.Column("final", sa.Boolean(), nullable=False),
        sa.Column("pending", sa.Boolean(), nullable=False),
        sa.Column("escalated", sa.Boolean(), nullable=False),
        sa.Column("response_code", sa.Text(), nullable=True),
        sa.Column("trace", sa.Text(), nullable=True),
        sa.Column("batch", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("approval_code", sa.Text(), nullable=True),
        sa.Column("terminal_id", sa.Text(), nullable=True),
        sa.Column("merchant_id", sa.Text(), nullable=True),
        sa.Column("card_masked", sa.Text(), nullable=True),
        sa.Column("last4", sa.Text(), nullable=True),
        sa.Column("scheme", sa.Text(), nullable=True),
        sa.Column("order_no", sa.Text(), nullable=True),
        sa.Column("channel_order", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("how", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("started_us", sa.BigInteger(), nullable=False),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.Column("terminal_time", sa.Text(), nullable=True),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.Column("pending_us", sa.BigInteger(), nullable=True),
        sa.Column("escalated_us", sa.BigInteger(), nullable=True),
        sa.Column("settled_us", sa.BigInteger(), nullable=True),
        sa.Column("warning", sa.Text(), nullable=True),
        sa.Column("related", sa.Text(), nullable=True),
        sa.Column("opened_us", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("data", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("reconciled_us", sa.BigInteger(), nullable=True),
        sa.Column("reconciled_as", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transactions")),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index("ix_transactions_agent_started_us", "transactions", ["agent", "started_us"], unique=False)
    op.create_index("ix_transactions_last4_started_us", "transactions", ["last4", "started_us"], unique=False)
    op.create_index(
        "ix_transactions_pending",
        "transactions",
        ["started_us"],
        unique=False,
        sqlite_where=sa.text("pending = 1"),
        postgresql_where=sa.text("pending"),
    )
    op.create_index(
        "ix_transactions_unsettled",
        "transactions",
        ["started_us"],
        unique=False,
        sqlite_where=sa.text("final = 0"),
        postgresql_where=sa.text("NOT final"),
    )
    op.create_index("ix_transactions_started_us", "transactions", ["started_us"], unique=False)
