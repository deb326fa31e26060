"""The cases about payments, for pages that show payments."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from collector.ledger import cases
from collector.ledger.cases import Case


def cases_about(connection: Connection, transactions: Sequence[str]) -> dict[str, Case]:
    """Payment → the case that people work on: the one that is still open, else the last one."""
    found: dict[str, Case] = {}
    for case in cases.cases_of(connection, list(transactions)):
        if case.transaction and (case.is_open or case.transaction not in found):
            found[case.transaction] = case
    return found
