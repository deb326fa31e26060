"""Reconciliation: runs, days, differences, carried rows, findings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    _runs_and_days()
    _differences()
    _entries_and_findings()


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _big(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _json(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.JSON(none_as_null=True), nullable=False)


def _runs_and_days() -> None:
    op.create_table(
        "reconcile_runs",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        _text("day"),
        _text("zone"),
        _big("started_us"),
        _big("ended_us"),
        _big("as_of_us"),
        _text("by"),
        sa.Column("closed", sa.Boolean(), nullable=False),
        _json("counts"),
        _json("amounts"),
        _json("files"),
        _json("sides"),
        sa.Column("settled", sa.Integer(), nullable=False),
        sa.Column("proved", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_reconcile_runs")),
    )
    op.create_index("ix_reconcile_runs_day", "reconcile_runs", ["day"])
    op.create_table(
        "reconcile_days",
        _text("day"),
        _big("run"),
        _json("covered"),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_reconcile_days")),
    )


def _differences() -> None:
    op.create_table(
        "reconcile_differences",
        _text("id"),
        _text("anchor"),
        _text("day"),
        _text("category"),
        _text("why"),
        _text("status"),
        sa.Column("confirm", sa.Boolean(), nullable=False),
        _text("kind"),
        _big("amount"),
        _text("currency", nullable=True),
        _text("site", nullable=True),
        _text("agent", nullable=True),
        _text("terminal", nullable=True),
        _text("terminal_id", nullable=True),
        _text("transaction", nullable=True),
        _text("order_no", nullable=True),
        _text("reference", nullable=True),
        _text("last4", nullable=True),
        _big("time_us", nullable=True),
        _big("due_us", nullable=True),
        _json("evidence"),
        _json("candidates"),
        _big("first_run"),
        _big("last_run"),
        _big("settled_run", nullable=True),
        _text("settled_day", nullable=True),
        _text("settled_how", nullable=True),
        _text("settled_by", nullable=True),
        _text("note", nullable=True),
        _text("case", nullable=True),
        _big("found_us"),
        _big("updated_us"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconcile_differences")),
    )
    op.create_index("ix_reconcile_differences_day", "reconcile_differences", ["day"])
    op.create_index("ix_reconcile_differences_status_day", "reconcile_differences", ["status", "day"])
    op.create_index("ix_reconcile_differences_transaction", "reconcile_differences", ["transaction"])


def _entries_and_findings() -> None:
    op.create_table(
        "reconcile_entries",
        _text("day"),
        _text("side"),
        _text("key"),
        _json("data"),
        sa.PrimaryKeyConstraint("day", "side", "key", name=op.f("pk_reconcile_entries")),
    )
    op.create_table(
        "reconcile_findings",
        _text("transaction"),
        _text("day"),
        _text("outcome"),
        _big("run"),
        _text("file"),
        sa.Column("line", sa.Integer(), nullable=False),
        _json("row"),
        _text("key"),
        _big("found_us"),
        sa.PrimaryKeyConstraint("transaction", name=op.f("pk_reconcile_findings")),
    )
    op.create_index("ix_reconcile_findings_day", "reconcile_findings", ["day"])
