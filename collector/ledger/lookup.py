"""What the API reads: transactions by filter, a transaction with all that was told, agents, terminals, the stream.

Frozen values out; times microseconds UTC, amounts minor units. Every list goes on by key, so a page costs the same
wherever it stands.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, not_, or_, select

from collector.ledger.tables import agents, events, receipts, streams, terminals, transactions
from collector.ledger.views_payments import in_doubt, outcome_by_file

_t = transactions.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which transactions; None means any. `since_us` included, `until_us` not; both of the start."""

    since_us: int | None = None
    until_us: int | None = None
    site: str | None = None
    agent: str | None = None
    terminal: str | None = None
    outcome: str | None = None
    pending: bool | None = None
    last4: str | None = None
    amount: int | None = None
    trace: str | None = None
    order: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One transaction: its newest data as published, and where it was. `(started_us, id)` is its place in the list."""

    id: str
    site: str
    agent: str
    events: int
    started_us: int
    updated_us: int
    pending: bool
    escalated: bool
    reconciled_as: str | None
    proved_as: str | None
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stream:
    """One journal of an agent as far as it is here. `gaps`: [first, last] of what is missing."""

    epoch: str
    stored: int
    highest: int
    gaps: tuple[tuple[int, int], ...]
    gap_since_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One agent. `sequence`: its journal's last number, as it said; `streams`: newest journal first."""

    agent: str
    site: str
    version: str | None
    online: bool
    since_us: int | None
    last_seen_us: int
    epoch: str | None
    sequence: int | None
    pending: int | None
    outbox: int | None
    streams: tuple[Stream, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """One terminal, as its agent told last."""

    site: str
    agent: str
    terminal: str
    protocol: str | None
    device: str | None
    link: str | None
    reason: str | None
    detail: str | None
    since_us: int | None
    last_frame_us: int | None
    told_us: int
    metrics: Mapping[str, Any] | None
    last_seen_us: int  # when its agent was heard


@dataclass(frozen=True, slots=True)
class Kept:
    """One event as received. `body`: the CloudEvent; `projected`: this version can read what it says."""

    agent: str
    epoch: str
    sequence: int
    type: str
    site: str
    terminal: str | None
    received_us: int
    body: str
    projected: bool

    @property
    def key(self) -> tuple[str, str, int]:
        """What makes it count once."""
        return self.agent, self.epoch, self.sequence


@dataclass(frozen=True, slots=True)
class Slip:
    """One captured receipt."""

    agent: str
    epoch: str
    sequence: int
    receipt_kind: str | None
    complete: bool
    text: str
    time_us: int


_in_doubt = in_doubt()
_FOUND = (
    _t.id, _t.site, _t.agent, _t.events, _t.started_us, _t.updated_us, _in_doubt.label("pending"), _t.escalated,
    _t.reconciled_as, outcome_by_file.label("proved_as"), _t.data,
)  # fmt: skip
_e = events.c
_KEPT = (_e.agent, _e.epoch, _e.sequence, _e.type, _e.site, _e.terminal, _e.received_us, _e.body, _e.projected)


def find(connection: Connection, wanted: Filter, limit: int, after: tuple[int, str] | None = None) -> list[Found]:
    """Newest first; `after`: the place of the last one seen, to go on from."""
    query = select(*_FOUND).where(*_conditions(wanted))
    if after is not None:
        started_us, last = after
        query = query.where(or_(_t.started_us < started_us, and_(_t.started_us == started_us, _t.id < last)))
    rows = connection.execute(query.order_by(_t.started_us.desc(), _t.id.desc()).limit(limit))
    return [Found(**row._mapping) for row in rows]


def one(connection: Connection, transaction: str) -> Found | None:
    """The transaction of that id."""
    row = connection.execute(select(*_FOUND).where(_t.id == transaction)).one_or_none()
    return Found(**row._mapping) if row else None


def told(connection: Connection, transaction: str) -> list[Kept]:
    """All events about a transaction, oldest first."""
    query = select(*_KEPT).where(_e.subject == transaction).order_by(_e.time_us, _e.epoch, _e.sequence)
    return [Kept(*row) for row in connection.execute(query)]


def slips(connection: Connection, transaction: str) -> list[Slip]:
    """All receipts of a transaction, oldest first."""
    c = receipts.c
    query = select(c.agent, c.epoch, c.sequence, c.receipt_kind, c.complete, c.text, c.time_us)
    query = query.where(c.transaction == transaction).order_by(c.time_us, c.epoch, c.sequence)
    return [Slip(*row) for row in connection.execute(query)]


def agents_by_name(
    connection: Connection, limit: int, after: str | None = None, site: str | None = None
) -> list[Agent]:
    """Agents by name; `after`: the last one seen."""
    query = select(agents).order_by(agents.c.agent).limit(limit)
    if after is not None:
        query = query.where(agents.c.agent > after)
    if site is not None:
        query = query.where(agents.c.site == site)
    rows = connection.execute(query).all()
    kept = _streams(connection, [row.agent for row in rows])
    return [
        Agent(
            agent=row.agent,
            site=row.site,
            version=row.version,
            online=row.online,
            since_us=row.since_us,
            last_seen_us=row.last_seen_us,
            epoch=row.epoch,
            sequence=row.sequence,
            pending=row.pending,
            outbox=row.outbox,
            streams=tuple(kept[row.agent]),
        )
        for row in rows
    ]


def terminals_by_place(connection: Connection, *, agent: str | None = None, site: str | None = None) -> list[Terminal]:
    """Terminals by site, agent and name."""
    columns = [terminals.c[name] for name in Terminal.__dataclass_fields__ if name != "last_seen_us"]
    heard = func.coalesce(agents.c.last_seen_us, 0).label("last_seen_us")
    query = select(*columns, heard).select_from(terminals.outerjoin(agents, agents.c.agent == terminals.c.agent))
    query = query.order_by(terminals.c.site, terminals.c.agent, terminals.c.terminal)
    if agent is not None:
        query = query.where(terminals.c.agent == agent)
    if site is not None:
        query = query.where(terminals.c.site == site)
    return [Terminal(**row._mapping) for row in connection.execute(query)]


def received_since(
    connection: Connection, since_us: int, limit: int, after: tuple[str, str, int] = ("", "", 0)
) -> list[Kept]:
    """Events that came since then, in the order they came; `after`: of those of the very moment, the last one seen."""
    agent, epoch, sequence = after
    later = or_(
        _e.received_us > since_us,
        and_(
            _e.received_us == since_us,
            or_(
                _e.agent > agent,
                and_(_e.agent == agent, or_(_e.epoch > epoch, and_(_e.epoch == epoch, _e.sequence > sequence))),
            ),
        ),
    )
    # The plain bound stands alone as well, because that is what an index understands.
    query = select(*_KEPT).where(_e.received_us >= since_us, later)
    query = query.order_by(_e.received_us, _e.agent, _e.epoch, _e.sequence).limit(limit)
    return [Kept(*row) for row in connection.execute(query)]


def _streams(connection: Connection, names: Sequence[str]) -> dict[str, list[Stream]]:
    found: dict[str, list[Stream]] = defaultdict(list)
    query = select(streams).order_by(streams.c.opened_us.desc())
    for start in range(0, len(names), 500):
        for row in connection.execute(query.where(streams.c.agent.in_(list(names[start : start + 500])))):
            gaps = tuple((int(first), int(last)) for first, last in row.gaps)
            found[row.agent].append(Stream(row.epoch, row.contiguous, row.highest, gaps, row.gap_since_us))
    return found


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    for column, value in (
        (_t.site, wanted.site),
        (_t.agent, wanted.agent),
        (_t.terminal, wanted.terminal),
        (_t.outcome, wanted.outcome),
        (_t.last4, wanted.last4),
        (_t.amount, wanted.amount),
    ):
        if value is not None:
            found.append(column == value)
    if wanted.trace is not None:  # slips print it with or without its leading zeros
        found.append(_t.trace.in_({wanted.trace, wanted.trace.zfill(6), wanted.trace.lstrip("0")}))
    if wanted.since_us is not None:
        found.append(_t.started_us >= wanted.since_us)
    if wanted.until_us is not None:
        found.append(_t.started_us < wanted.until_us)
    if wanted.pending is not None:
        found.append(_in_doubt if wanted.pending else not_(_in_doubt))
    if wanted.order is not None:
        found.append(or_(_t.order_no == wanted.order, _t.channel_order == wanted.order))
    return found
