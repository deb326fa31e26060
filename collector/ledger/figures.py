"""What is counted for monitoring: each from an index or a small table, however large the ledger is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select

from collector.ledger.reconcile import proved
from collector.ledger.tables import agents, in_vain, refusals, streams, terminals, transactions

_t = transactions.c


@dataclass(frozen=True, slots=True)
class Fleet:
    """Agents by state, terminals by link, and what is missing of the agents' journals."""

    online: int
    offline: int
    stale: int
    terminals: dict[str, int]
    gap_streams: int
    missing: int
    outbox: int


def fleet(connection: Connection, now_us: int, stale_us: int) -> Fleet:
    """`stale_us`: silent for longer than that; an agent that said goodbye is offline, not stale."""
    c = agents.c
    state = case((~c.online, "offline"), (c.last_seen_us < now_us - stale_us, "stale"), else_="online")
    query = select(state, func.count(), func.coalesce(func.sum(c.outbox), 0)).group_by(state)
    rows = {name: (int(count), int(outbox)) for name, count, outbox in connection.execute(query)}
    links = select(terminals.c.link, func.count()).group_by(terminals.c.link)
    gaps = connection.execute(select(streams.c.gaps).where(streams.c.gap_since_us.is_not(None))).scalars()
    missing = [sum(last - first + 1 for first, last in found) for found in gaps]
    return Fleet(
        online=rows.get("online", (0, 0))[0],
        offline=rows.get("offline", (0, 0))[0],
        stale=rows.get("stale", (0, 0))[0],
        terminals={link or "unknown": int(count) for link, count in connection.execute(links)},
        gap_streams=len(missing),
        missing=sum(missing),
        outbox=sum(outbox for _, outbox in rows.values()),
    )


def pending_by_age(connection: Connection, now_us: int, bounds_s: Sequence[int]) -> tuple[list[int], float]:
    """How many doubts are at most so old, for each bound and for any; and the age of the oldest in seconds."""
    query = select(func.coalesce(_t.pending_us, _t.started_us)).where(_t.pending, ~proved(_t.id))
    ages = [max(0.0, (now_us - int(since)) / 1e6) for since in connection.execute(query).scalars()]
    return [sum(age <= bound for age in ages) for bound in bounds_s] + [len(ages)], max(ages, default=0.0)


def by_outcome(connection: Connection, since_us: int) -> dict[tuple[str, str], int]:
    """(outcome, kind) → how many payments began since then."""
    query = select(_t.outcome, _t.kind, func.count()).where(_t.started_us >= since_us).group_by(_t.outcome, _t.kind)
    return {(outcome, kind): int(count) for outcome, kind, count in connection.execute(query)}


def undelivered(connection: Connection, since_us: int) -> int:
    """Charged in vain, of the payments that began since then."""
    query = select(func.count()).select_from(transactions)
    query = query.where(_t.started_us >= since_us, in_vain)
    return int(connection.execute(query).scalar_one())


def refused(connection: Connection) -> int:
    """Messages that claimed to be somebody else's, ever."""
    return int(connection.execute(select(func.coalesce(func.sum(refusals.c.count), 0))).scalar_one())
