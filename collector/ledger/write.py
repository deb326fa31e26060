"""Stores what came in: once by (agent, epoch, sequence), together with everything that follows from it, in one commit.

The order is the same for every collector on one database: first the streams are locked, by key; their ranges say
exactly which events are new; those are appended without asking again; then come the projections, each by key. So no
event is counted twice whoever writes, and nobody waits in a circle. The price is that two collectors that have
events of the same agent take turns for one commit (docs/decisions/0015-ledger.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from collector.ledger import Ledger, microseconds, partitions, tables
from collector.ledger import write_rules as rules
from collector.ledger.bulk import append, append_rows
from collector.ledger.incoming import AgentState, Event, Incoming, Metrics, Raw, Refused
from collector.ledger.project import microseconds_of, project
from collector.ledger.streams import Stream, lock, save

_SEEN_EVERY_US = 10_000_000  # of an agent that keeps talking
_MOST_AGENTS_REMEMBERED = 200_000
_SHOWN_BYTES = 4096  # of a refused payload
_OLDEST_MONTH_US = 120 * 31 * 86_400_000_000  # ten years
_NEXT_MONTHS_US = 62 * 86_400_000_000

_EVENT_COLUMNS = (
    "agent",
    "epoch",
    "sequence",
    "time_us",
    "received_us",
    "site",
    "terminal",
    "type",
    "subject",
    "projected",
    "body",
)


@dataclass(frozen=True, slots=True)
class Mark:
    """Everything of this epoch up to that number is stored: what `stored` tells the agent.

    `repeated`: the agent sent what was there already, so it has not heard of it.
    """

    site: str
    agent: str
    epoch: str
    contiguous: int
    repeated: bool


@dataclass(frozen=True, slots=True)
class Stored:
    """What a batch came to. `fresh`: the events that were not there before; `marks`: of the streams it touched."""

    fresh: tuple[Event, ...]
    repeated: int
    unreadable: int  # fresh ones that this version can't project
    marks: tuple[Mark, ...]
    agents: tuple[str, ...]  # whose state changed
    refused: int


#: what follows from events that were not there before, in the transaction that stores them: connection, events, now
Follower = Callable[[Connection, Sequence[Event], int], None]


class Writer:
    """Writes batches. One a thread. `follow`: opens and settles cases (collector.cases.intake.take)."""

    def __init__(self, ledger: Ledger, follow: Follower | None = None) -> None:
        self._ledger = ledger
        self._follow = follow
        self._months: set[partitions.Month] = set()
        self._seen: dict[str, int] = {}

    def store(self, batch: Sequence[Incoming]) -> Stored:
        """Make all of it durable in one transaction. Raises SQLAlchemy's errors; nothing has happened then."""
        events = [item for item in batch if isinstance(item, Event)]
        states = {item.agent: item for item in batch if isinstance(item, AgentState)}
        now_us = microseconds(self._ledger.clock())
        if self._ledger.is_postgresql:
            self._ensure_months(events, now_us)
        with self._ledger.write() as connection:
            streams = lock(connection, _streams_of(events, states.values(), now_us))
            fresh, repeated = _take(events, streams, now_us)
            unreadable = _store_events(connection, fresh, streams)
            for state in states.values():
                _expect(state, streams, now_us)
            save(connection, streams.values())
            _store_terminals(connection, states.values())
            _store_metrics(connection, [item for item in batch if isinstance(item, Metrics)])
            seen = self._store_agents(connection, batch, states)
            _store_raw(connection, [item for item in batch if isinstance(item, Raw)])
            refused = [item for item in batch if isinstance(item, Refused)]
            _store_refusals(connection, refused)
            if self._follow and fresh:
                self._follow(connection, fresh, now_us)
        self._remember(seen)
        return Stored(
            tuple(fresh),
            len(events) - len(fresh),
            unreadable,
            tuple(Mark(s.site, *key, s.ranges.contiguous, key in repeated) for key, s in streams.items()),
            tuple(states),
            len(refused),
        )

    def _ensure_months(self, events: Iterable[Event], now_us: int) -> None:
        """Make partitions for what comes late; times that are no sensible ones go to the default partition."""
        plausible = [e.time_us for e in events if now_us - _OLDEST_MONTH_US < e.time_us < now_us + _NEXT_MONTHS_US]
        if not plausible:
            return
        month, last = partitions.Month.of(min(plausible)), partitions.Month.of(max(plausible))
        months = {month} if month == last else {partitions.Month.of(time_us) for time_us in plausible}
        if months <= self._months:
            return
        with self._ledger.write() as connection:
            partitions.ensure(connection, months)
        self._months |= months

    def _store_agents(
        self, connection: Connection, batch: Sequence[Incoming], states: dict[str, AgentState]
    ) -> dict[str, int]:
        """Note who was heard, not more often than each 10 s, and what the states say; returns who was noted."""
        heard: dict[str, Any] = {}
        for item in batch:
            if isinstance(item, Event | Metrics) and item.received_us >= self._seen.get(item.agent, 0) + _SEEN_EVERY_US:
                heard[item.agent] = {"agent": item.agent, "site": item.site, "last_seen_us": item.received_us}
        rules.HEARD(connection, [row | {"online": True} for row in heard.values()])
        rules.STATES(connection, [_agent_row(state) for state in states.values()])
        return {agent: row["last_seen_us"] for agent, row in heard.items()}

    def _remember(self, seen: dict[str, int]) -> None:
        if len(self._seen) > _MOST_AGENTS_REMEMBERED:
            self._seen.clear()
        self._seen |= seen


def _streams_of(events: Iterable[Event], states: Iterable[AgentState], now_us: int) -> dict[tuple[str, str], Stream]:
    found: dict[tuple[str, str], Stream] = {}
    for event in events:
        key = event.agent, event.epoch
        if key not in found:
            found[key] = Stream.new(event.agent, event.epoch, event.site, now_us)
    for state in states:
        epoch = state.state.get("epoch")
        if isinstance(epoch, str) and 0 < len(epoch) <= 64:
            found.setdefault((state.agent, epoch), Stream.new(state.agent, epoch, state.site, now_us))
    return found


def _take(
    events: Iterable[Event], streams: dict[tuple[str, str], Stream], now_us: int
) -> tuple[list[Event], set[tuple[str, str]]]:
    """The events that are new, and the streams of those that are not."""
    fresh = []
    repeated = set()
    for event in events:
        key = event.agent, event.epoch
        if streams[key].take(event, now_us):
            fresh.append(event)
        else:
            repeated.add(key)
    return fresh, repeated


def _store_events(connection: Connection, fresh: Sequence[Event], streams: dict[tuple[str, str], Stream]) -> int:
    """Append the events and what each says; returns how many this version can't read."""
    rows = project(fresh, {key: stream.opened_us for key, stream in streams.items()})
    unreadable = rows.unreadable
    # Without a time of its own an event is as old as its coming: it must not be let go as the oldest of all.
    values = [
        (*event[:3], event.time_us or event.received_us, *event[4:9], place not in unreadable, event.body)
        for place, event in enumerate(fresh)
    ]
    append(connection, tables.events, _EVENT_COLUMNS, values)
    rules.TRANSACTIONS(connection, rows.transactions)
    append_rows(connection, tables.receipts, rows.receipts)
    append_rows(connection, tables.settlements, rows.settlements)
    rules.TERMINAL_EVENTS(connection, rows.terminals.values())
    return len(unreadable)


def _expect(state: AgentState, streams: dict[tuple[str, str], Stream], now_us: int) -> None:
    """What the broker has acknowledged to the agent should be here: what is not is missing."""
    stream = streams.get((state.agent, str(state.state.get("epoch"))))
    sequence, outbox = state.state.get("sequence"), state.state.get("outbox")
    if stream is not None and type(sequence) is int and type(outbox) is int and 0 <= outbox <= sequence < 1 << 62:
        stream.expect(sequence - outbox, now_us)


def _agent_row(state: AgentState) -> dict[str, Any]:
    body = state.state
    since_us = microseconds_of(body.get("since"))
    return {
        "agent": state.agent,
        "site": state.site,
        "version": _text(body.get("version")),
        "online": body.get("online") is True,
        "since_us": since_us,
        # What the broker kept may be old, and its agent's clock ahead of ours: nobody was heard of in the future.
        "last_seen_us": state.received_us if state.live else min(since_us or 0, state.received_us),
        "epoch": _text(body.get("epoch")),
        "sequence": _count(body.get("sequence")),
        "pending": _count(body.get("pending")),
        "outbox": _count(body.get("outbox")),
        "state": dict(body),
        "state_us": state.received_us,
    }


def _store_terminals(connection: Connection, states: Iterable[AgentState]) -> None:
    rows = []
    for state in states:
        terminals = state.state.get("terminals")
        for name, body in terminals.items() if isinstance(terminals, dict) else ():
            if isinstance(body, dict) and 0 < len(name) <= 64:
                rows.append(
                    {
                        "agent": state.agent,
                        "terminal": name,
                        "site": state.site,
                        "protocol": _text(body.get("protocol")),
                        "link": _text(body.get("link")),
                        "reason": _text(body.get("reason")),
                        "last_frame_us": microseconds_of(body.get("last_frame_at")),
                        "since_us": state.received_us,
                        "told_us": state.received_us,
                    }
                )
    rules.TERMINAL_STATES(connection, rows)


def _store_metrics(connection: Connection, metrics: Iterable[Metrics]) -> None:
    points: dict[tuple[str, str, str, int], dict[str, Any]] = {}
    latest: dict[tuple[str, str], dict[str, Any]] = {}
    for item in metrics:
        for terminal, values in item.values.items():
            for name, value in values.items():
                key = (item.agent, terminal, name, item.received_us)
                points[key] = dict(zip(("agent", "terminal", "name", "time_us"), key, strict=True)) | {"value": value}
            if terminal:
                latest[item.agent, terminal] = {
                    "agent": item.agent,
                    "terminal": terminal,
                    "site": item.site,
                    "metrics": dict(values),
                    "metrics_us": item.received_us,
                    "told_us": 0,
                }
    rules.METRICS(connection, points.values())
    rules.TERMINAL_METRICS(connection, latest.values())


def _store_raw(connection: Connection, items: Iterable[Raw]) -> None:
    rows = {}
    for item in items:
        digest = hashlib.sha256(item.topic.encode("utf-8", "replace") + b"\0" + item.payload).hexdigest()
        rows[digest] = {
            "digest": digest,
            "received_us": item.received_us,
            "topic": item.topic,
            "payload": readable(item.payload),
            "why": item.why,
        }
    rules.RAW(connection, rows.values())


def _store_refusals(connection: Connection, items: Iterable[Refused]) -> None:
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for item in items:
        key = (item.topic, item.claimed, item.why)
        row = rows.setdefault(key, {"first_us": item.received_us, "count": 0})
        row |= dict(zip(("topic", "claimed", "why"), key, strict=True))
        row |= {
            "last_us": item.received_us,
            "payload": readable(item.payload[:_SHOWN_BYTES]),
            "count": row["count"] + 1,
        }
    rules.REFUSALS(connection, rows.values())


def readable(payload: bytes) -> str:
    """Bytes as text that every database holds: what is no UTF-8, and NUL, as backslash escapes."""
    return payload.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 1 << 31 else None
