"""An index of the payments that were charged in vain: the first page counts them each time it is drawn."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    where = sa.text("charged = 'yes' AND delivered = 'no'")
    op.create_index(
        "ix_transactions_in_vain", "transactions", ["started_us"], sqlite_where=where, postgresql_where=where
    )
