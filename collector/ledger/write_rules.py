"""What becomes of a row that is there when a newer, an older or the same one comes: one rule a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import and_, case, func, not_, or_
from sqlalchemy.sql.elements import ColumnElement

from collector.ledger import tables
from collector.ledger.bulk import Merge, when
from collector.ledger.project import MARKS

_NOT_TOLD = {"reconciled_us", "reconciled_as"}  # reconciliation's own
_STICKY = {"events", "warning", "related", "escalated", "id", "agent", *MARKS}


def _newer_event(old: Any, new: Any) -> ColumnElement[bool]:
    return or_(
        new.opened_us > old.opened_us,
        and_(new.opened_us == old.opened_us, new.last_sequence > old.last_sequence),
    )


_TRANSACTION_COLUMNS = [c.name for c in tables.transactions.columns if c.name not in _NOT_TOLD]
_of_newest = when(_newer_event, [name for name in _TRANSACTION_COLUMNS if name not in _STICKY])


def _transaction(old: Any, new: Any) -> Mapping[str, ColumnElement[Any]]:
    """State comes from the newest event; when something was first, and how many there are, from all of them."""
    marks = {name: _least(old[name], new[name]) for name in MARKS}
    final = case((_newer_event(old, new), new.final), else_=old.final)
    newest_warning = and_(new.warning.is_not(None), or_(_newer_event(old, new), old.warning.is_(None)))
    return {
        **_of_newest(old, new),
        **marks,
        "events": old.events + new.events,
        "escalated": and_(marks["escalated_us"].is_not(None), not_(final)),
        "warning": case((newest_warning, new.warning), else_=old.warning),
        "related": case((newest_warning, new.related), else_=old.related),
    }


def _least(old: ColumnElement[Any], new: ColumnElement[Any]) -> ColumnElement[Any]:
    # SQLite's min() of two is null when one is; PostgreSQL's least() is not.
    return case((old.is_(None), new), (new.is_(None), old), (new < old, new), else_=old)


#: A transaction belongs to the agent that told of it first: nobody else's event changes it.
TRANSACTIONS = Merge(tables.transactions, _TRANSACTION_COLUMNS, _transaction, lambda old, new: old.agent == new.agent)

METRICS = Merge(tables.metrics, [c.name for c in tables.metrics.columns])


def _newer_word(old: Any, new: Any) -> ColumnElement[bool]:
    newer: ColumnElement[bool] = new.told_us >= old.told_us
    return newer


_of_newer_word = when(_newer_word, ["site", "protocol", "link", "reason", "told_us"])
_of_newer_event = when(_newer_word, ["device", "detail"])


def _link(old: Any, new: Any) -> dict[str, ColumnElement[Any]]:
    changed = and_(_newer_word(old, new), or_(old.link.is_distinct_from(new.link), old.since_us.is_(None)))
    return {**_of_newer_word(old, new), "since_us": case((changed, new.since_us), else_=old.since_us)}


def _link_event(old: Any, new: Any) -> Mapping[str, ColumnElement[Any]]:
    return {**_link(old, new), **_of_newer_event(old, new)}


def _link_state(old: Any, new: Any) -> Mapping[str, ColumnElement[Any]]:
    return {**_link(old, new), "last_frame_us": func.coalesce(new.last_frame_us, old.last_frame_us)}


_LINK = ("agent", "terminal", "site", "protocol", "link", "reason", "since_us", "told_us")
TERMINAL_EVENTS = Merge(tables.terminals, (*_LINK, "device", "detail"), _link_event)
TERMINAL_STATES = Merge(tables.terminals, (*_LINK, "last_frame_us"), _link_state)
TERMINAL_METRICS = Merge(
    tables.terminals,
    ("agent", "terminal", "site", "metrics", "metrics_us", "told_us"),
    lambda _old, new: {"metrics": new.metrics, "metrics_us": new.metrics_us},
)

HEARD = Merge(
    tables.agents,
    ("agent", "site", "online", "last_seen_us"),
    lambda old, new: {
        "last_seen_us": case((new.last_seen_us > old.last_seen_us, new.last_seen_us), else_=old.last_seen_us)
    },
)
STATES = Merge(
    tables.agents,
    [c.name for c in tables.agents.columns],
    lambda old, new: {
        **{c.name: new[c.name] for c in tables.agents.columns if c.name not in ("agent", "last_seen_us")},
        "last_seen_us": case((new.last_seen_us > old.last_seen_us, new.last_seen_us), else_=old.last_seen_us),
    },
)

RAW = Merge(tables.raw_events, ("digest", "received_us", "topic", "payload", "why"), key=("digest",))
REFUSALS = Merge(
    tables.refusals,
    ("topic", "claimed", "why", "first_us", "last_us", "count", "payload"),
    lambda old, new: {"last_us": new.last_us, "count": old.count + new.count, "payload": new.payload},
    key=("topic", "claimed", "why"),
)
