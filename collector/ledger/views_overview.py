"""The figures of the overview: what is under way, how the day went, how long doubts lasted, payments a minute.

Reads only. Times are microseconds UTC.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, or_, select

from collector.ledger.tables import transactions
from collector.ledger.views_payments import SILENT_AFTER_US, outcome_by_file

MINUTE_US = 60_000_000
_columns = transactions.c
#: what became of a payment, as far as its agent or a file of the acquirer tells
_outcome = func.coalesce(outcome_by_file, _columns.outcome)
#: so many settled doubts are enough for a median
_ENOUGH = 2000


@dataclass(frozen=True, slots=True)
class Day:
    """The payments of a day so far, by state (`open` and `unknown` among them), and what was taken, by currency."""

    counts: Mapping[str, int]
    taken: Mapping[str, int]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Truth:
    """How long doubts lasted until the truth was known, in microseconds; None when there was none."""

    count: int
    median_us: int | None
    slowest_us: int | None


def day(connection: Connection, since_us: int) -> Day:
    """Everything that began since then."""
    charged = or_(_columns.charged == "yes", func.coalesce(outcome_by_file, "") == "approved")
    query = (
        select(
            _outcome.label("shown"), _columns.final, _columns.pending, charged.label("charged_now"), _columns.currency,
            func.count(), func.coalesce(func.sum(_columns.amount), 0),
        )
        .where(_columns.started_us >= since_us)
        .group_by("shown", _columns.final, _columns.pending, "charged_now", _columns.currency)
    )  # fmt: skip
    counts: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    for outcome, final, pending, moved, currency, count, amount in connection.execute(query):
        counts["open" if not final and not pending else outcome] += int(count)
        if moved:
            taken[currency or ""] += int(amount)
    return Day(dict(counts), dict(taken))


def under_way(connection: Connection, now_us: int) -> int:
    """Payments that a terminal is busy with now."""
    query = select(func.count()).select_from(transactions)
    recent = (~_columns.final, ~_columns.pending, _columns.started_us >= now_us - SILENT_AFTER_US)
    return int(connection.execute(query.where(*recent)).scalar_one())


def truth(connection: Connection, since_us: int) -> Truth:
    """Of the doubts about payments since then that were settled."""
    query = (
        select(_columns.settled_us - _columns.pending_us)
        .where(_columns.started_us >= since_us, _columns.settled_us.is_not(None), _columns.pending_us.is_not(None))
        .order_by(_columns.started_us.desc())
        .limit(_ENOUGH)
    )
    lasted = sorted(int(us) for (us,) in connection.execute(query))
    if not lasted:
        return Truth(0, None, None)
    return Truth(len(lasted), lasted[len(lasted) // 2], lasted[-1])


def per_minute(connection: Connection, since_us: int, until_us: int) -> list[tuple[int, int, int]]:
    """(minute's begin in seconds, payments, of these in doubt or ended without money) for every minute of the span."""
    minute = (_columns.started_us // MINUTE_US).label("minute")
    query = (
        select(minute, _outcome.label("shown"), or_(_columns.final, _columns.pending).label("told"), func.count())
        .where(_columns.started_us >= since_us, _columns.started_us < until_us)
        .group_by(minute, "shown", "told")
    )
    totals: Counter[int] = Counter()
    failed: Counter[int] = Counter()
    for number, outcome, told, count in connection.execute(query):
        totals[int(number)] += int(count)
        if told and outcome != "approved":
            failed[int(number)] += int(count)
    first, last = since_us // MINUTE_US, (until_us - 1) // MINUTE_US
    return [(number * 60, totals[number], failed[number]) for number in range(first, last + 1)]
