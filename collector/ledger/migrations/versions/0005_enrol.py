"""Enrolment: one-time tokens, certificates of agents, the fleet's configurations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "enrol_tokens",
        _text("id"),
        _text("hash"),
        _text("agent"),
        _text("site"),
        _big("created_us"),
        _text("created_by"),
        _big("expires_us"),
        _big("used_us", nullable=True),
        _text("used_from", nullable=True),
        _text("used_key", nullable=True),
        _big("revoked_us", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enrol_tokens")),
        sa.UniqueConstraint("hash", name=op.f("uq_enrol_tokens_hash")),
    )
    op.create_index("ix_enrol_tokens_agent", "enrol_tokens", ["agent"])
    op.create_table(
        "certificates",
        _text("serial"),
        _text("agent"),
        _text("site"),
        _text("key"),
        _text("pem"),
        _text("how"),
        _big("begins_us"),
        _big("ends_us"),
        _big("issued_us"),
        _big("revoked_us", nullable=True),
        _text("revoked_by", nullable=True),
        _text("reason", nullable=True),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_certificates")),
    )
    op.create_index("ix_certificates_agent", "certificates", ["agent"])
    op.create_index("ix_certificates_key", "certificates", ["key"])
    op.create_table(
        "fleet_configurations",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        _text("document"),
        _text("signature"),
        _big("published_us"),
        _text("published_by"),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_fleet_configurations")),
    )


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _big(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)
