"""Sites, cashier PCs and terminals as the fleet map shows them, and one terminal's health. Reads only."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from collector.ledger.tables import agents, metrics, streams, terminals, transactions
from collector.ledger.tables import refusals as refused
from collector.ledger.views_payments import in_doubt

#: an agent that says nothing for so long is stale: it publishes its metrics once a minute
STALE_AFTER_US = 150 * 1_000_000
_HEALTH_ROWS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """One terminal of a cashier PC, as its agent told last."""

    site: str
    agent: str
    name: str
    protocol: str | None
    device: str | None
    link: str | None
    reason: str | None
    detail: str | None
    since_us: int | None
    last_frame_us: int | None
    told_us: int
    metrics: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cashier:
    """One cashier PC: its agent and the terminals at it.

    `pending`: its payments in doubt, as all pages count them; `missing`: events known to be lost on the way so far.
    """

    site: str
    agent: str
    version: str | None
    online: bool
    since_us: int | None
    last_seen_us: int
    pending: int
    outbox: int
    missing: int
    terminals: tuple[Terminal, ...]

    def state(self, now_us: int) -> str:
        """`online`; `offline` when it said so or its line was cut; `stale` when it only has been silent."""
        if not self.online:
            return "offline"
        return "stale" if self.is_stale(now_us) else "online"

    def is_stale(self, now_us: int) -> bool:
        """Whether what it told last must not be shown as how things are."""
        return not self.online or now_us - self.last_seen_us > STALE_AFTER_US


@dataclass(frozen=True, slots=True)
class Answered:
    """One finished exchange: when it began, how long the terminal took (microseconds), how it ended."""

    started_us: int
    took_us: int | None
    outcome: str


def cashiers(connection: Connection, agent: str | None = None) -> list[Cashier]:
    """All of them (or one) with their terminals, by site and name."""
    wanted = [] if agent is None else [agent]
    at: dict[str, list[Terminal]] = defaultdict(list)
    query = select(terminals).order_by(terminals.c.terminal)
    for row in connection.execute(query.where(terminals.c.agent.in_(wanted)) if wanted else query):
        at[row.agent].append(_terminal(row))
    missing: Counter[str] = Counter()
    for name, gaps in connection.execute(select(streams.c.agent, streams.c.gaps)):
        missing[name] += sum(last - first + 1 for first, last in gaps)
    doubts = select(transactions.c.agent, func.count()).where(in_doubt()).group_by(transactions.c.agent)
    doubtful = Counter({name: int(count) for name, count in connection.execute(doubts)})
    query = select(agents).order_by(agents.c.site, agents.c.agent)
    found = connection.execute(query.where(agents.c.agent.in_(wanted)) if wanted else query)
    return [
        Cashier(
            site=row.site,
            agent=row.agent,
            version=row.version,
            online=row.online,
            since_us=row.since_us,
            last_seen_us=row.last_seen_us,
            pending=doubtful[row.agent],
            outbox=row.outbox or 0,
            missing=missing[row.agent],
            terminals=tuple(at[row.agent]),
        )
        for row in found
    ]


def terminal(connection: Connection, agent: str, name: str) -> Terminal | None:
    """One terminal."""
    query = select(terminals).where(terminals.c.agent == agent, terminals.c.terminal == name)
    row = connection.execute(query).one_or_none()
    return None if row is None else _terminal(row)


def answered(connection: Connection, agent: str, name: str, since_us: int) -> list[Answered]:
    """The terminal's exchanges since then, oldest first; at most the last 500."""
    query = (
        select(transactions.c.started_us, transactions.c.ended_us, transactions.c.outcome)
        .where(transactions.c.agent == agent, transactions.c.terminal == name, transactions.c.started_us >= since_us)
        .order_by(transactions.c.started_us.desc())
        .limit(_HEALTH_ROWS)
    )
    rows = [
        Answered(row.started_us, None if row.ended_us is None else row.ended_us - row.started_us, row.outcome)
        for row in connection.execute(query)
    ]
    return rows[::-1]


def series(connection: Connection, agent: str, name: str, since_us: int) -> dict[str, list[tuple[int, float]]]:
    """The terminal's metrics since then: name → (time, value), oldest first. `name` "" is the agent itself."""
    query = (
        select(metrics.c.name, metrics.c.time_us, metrics.c.value)
        .where(metrics.c.agent == agent, metrics.c.terminal == name, metrics.c.time_us >= since_us)
        .order_by(metrics.c.time_us)
    )
    found: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for metric, time_us, value in connection.execute(query):
        found[metric].append((time_us, value))
    return dict(found)


def _terminal(row: Any) -> Terminal:
    return Terminal(
        site=row.site,
        agent=row.agent,
        name=row.terminal,
        protocol=row.protocol,
        device=row.device,
        link=row.link,
        reason=row.reason,
        detail=row.detail,
        since_us=row.since_us,
        last_frame_us=row.last_frame_us,
        told_us=row.told_us,
        metrics=row.metrics if isinstance(row.metrics, dict) else {},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Messages that were refused because topic and payload name different agents."""

    first_us: int
    last_us: int
    count: int
    topic: str
    claimed: str
    why: str


def refusals(connection: Connection, limit: int) -> list[Refusal]:
    """The latest ones."""
    columns = [refused.c[name] for name in ("first_us", "last_us", "count", "topic", "claimed", "why")]
    query = select(*columns).order_by(refused.c.last_us.desc()).limit(limit)
    return [Refusal(**row._mapping) for row in connection.execute(query)]
