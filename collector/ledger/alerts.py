"""Alerts: what the rules ask of the ledger, incidents, and the outbox of messages. No policy here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, exists, func, insert, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from collector.ledger.reconcile import proved
from collector.ledger.tables import agents, refusals, streams, terminals, transactions
from collector.ledger.tables_alerts import alert_incidents, webhook_outbox
from collector.ledger.tables_cases import cases

#: of days whose files did not come in time, or can't be used (collector/reconcile/nightly.py): no rule of the
#: configuration can be called so. Shown without any rule; rules that look for them have incidents of their own
FILE_MISSING = "reconcile:file_missing"
_FILES = "files/"  # before the day, in the keys of such rules' incidents
_COUNTED_US = 365 * 86_400_000_000
MOST = 1000  # of one rule at once: beyond that the first thousand say enough


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something a rule looks for. `key` names it for ever; `since_us`: since when it lasts."""

    key: str
    since_us: int
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One trouble that was told of, or is going to be."""

    rule: str
    key: str
    number: int
    since_us: int
    opened_us: int
    resolved_us: int | None
    detail: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Its name outside."""
        return f"{self.rule}/{self.key}/{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of the outbox."""

    number: int
    webhook: str
    incident: str
    state: str
    body: str
    created_us: int
    due_us: int
    attempts: int


_t = transactions.c
_i = alert_incidents.c
_o = webhook_outbox.c
_MESSAGE = tuple(_o[name] for name in Message.__dataclass_fields__)


# -- what rules look for --------------------------------------------------------------------------------------


def pending(connection: Connection, before_us: int, site: str | None) -> list[Trouble]:
    """Payments in doubt since before then."""
    since = func.coalesce(_t.pending_us, _t.started_us)
    names = ("site", "agent", "terminal", "amount", "currency", "reason")
    query = select(_t.id, since.label("since"), *(_t[name] for name in names))
    query = query.where(_t.pending, ~proved(_t.id), since <= before_us, *_at(_t.site, site)).order_by(since).limit(MOST)
    return [
        Trouble(row.id, int(row.since), {name: row._mapping[name] for name in names})
        for row in connection.execute(query)
    ]


def open_cases(connection: Connection, kind: str, before_us: int, site: str | None) -> list[Trouble]:
    """Open cases of that kind, opened before then."""
    c = cases.c
    query = select(cases).where(c.status != "closed", c.kind == kind, c.opened_us <= before_us, *_at(c.site, site))
    return [_case(row, row.opened_us) for row in connection.execute(query.order_by(c.number).limit(MOST))]


def overdue_cases(connection: Connection, before_us: int, site: str | None) -> list[Trouble]:
    """Open cases whose due time was before then."""
    c = cases.c
    query = select(cases).where(c.status != "closed", c.due_us <= before_us, *_at(c.site, site))
    return [_case(row, row.due_us) for row in connection.execute(query.order_by(c.due_us).limit(MOST))]


def silent_agents(connection: Connection, before_us: int, site: str | None, *, online: bool) -> list[Trouble]:
    """Agents not heard of since then, that are (or are not) said to be online."""
    c = agents.c
    query = select(c.agent, c.site, c.last_seen_us, c.pending).where(
        c.online if online else ~c.online, c.last_seen_us <= before_us, *_at(c.site, site)
    )
    return [
        Trouble(row.agent, row.last_seen_us, {"site": row.site, "agent": row.agent, "pending": row.pending})
        for row in connection.execute(query.order_by(c.agent).limit(MOST))
    ]


def down_terminals(connection: Connection, before_us: int, heard_after_us: int, site: str | None) -> list[Trouble]:
    """Terminals down since before then; only of agents heard of lately, because the others know nothing."""
    c = terminals.c
    query = select(c.site, c.agent, c.terminal, c.reason, c.detail, c.since_us).join(agents, agents.c.agent == c.agent)
    query = query.where(
        c.link == "down", c.since_us <= before_us, agents.c.online, agents.c.last_seen_us > heard_after_us,
        *_at(c.site, site),
    )  # fmt: skip
    return [
        Trouble(
            f"{row.agent}/{row.terminal}",
            row.since_us,
            {name: row._mapping[name] for name in ("site", "agent", "terminal", "reason", "detail")},
        )
        for row in connection.execute(query.order_by(c.agent, c.terminal).limit(MOST))
    ]


def refused_lately(connection: Connection, after_us: int) -> list[Trouble]:
    """Messages that claimed to be somebody else's, the last one after then."""
    c = refusals.c
    query = select(c.topic, c.claimed, c.why, c.count, c.first_us).where(c.last_us > after_us)
    return [
        Trouble(
            f"{row.topic}|{row.claimed}|{row.why}",
            row.first_us,
            {"topic": row.topic, "claimed": row.claimed, "why": row.why, "count": row._mapping["count"]},
        )
        for row in connection.execute(query.order_by(c.number).limit(MOST))
    ]


def gaps(connection: Connection, before_us: int, site: str | None) -> list[Trouble]:
    """Journals of which something is missing since before then."""
    c = streams.c
    query = select(c.agent, c.epoch, c.site, c.gaps, c.gap_since_us)
    query = query.where(c.gap_since_us <= before_us, *_at(c.site, site)).order_by(c.agent, c.epoch).limit(MOST)
    return [
        Trouble(
            f"{row.agent}/{row.epoch}",
            row.gap_since_us,
            {
                "site": row.site,
                "agent": row.agent,
                "missing": sum(last - first + 1 for first, last in row.gaps),
            },
        )
        for row in connection.execute(query)
    ]


def files_missing(connection: Connection, before_us: int) -> list[Trouble]:
    """Days whose files for the reconciliation were due before then, and are not there or can't be used."""
    noted = open_incidents(connection, FILE_MISSING).values()
    return [
        Trouble(f"{_FILES}{incident.key}", incident.since_us, incident.detail)
        for incident in noted
        if incident.since_us <= before_us
    ]


# -- incidents ------------------------------------------------------------------------------------------------


def open_incidents(connection: Connection, rule: str) -> dict[str, Incident]:
    """Key → incident that is going on."""
    rows = connection.execute(select(alert_incidents).where(_i.rule == rule, _i.resolved_us.is_(None)))
    return {row.key: Incident(**row._mapping) for row in rows}


def going_on(connection: Connection, limit: int) -> list[Incident]:
    """Everything that is going on, of all rules; what began last comes first. A day's missing files come once."""
    other = alert_incidents.alias()
    told = exists().where(other.c.resolved_us.is_(None), other.c.key == literal(_FILES) + _i.key)
    query = select(alert_incidents).where(_i.resolved_us.is_(None), or_(_i.rule != FILE_MISSING, ~told))
    query = query.order_by(_i.opened_us.desc(), _i.rule, _i.key)
    return [Incident(**row._mapping) for row in connection.execute(query.limit(limit))]


def rules_with_incidents(connection: Connection) -> list[str]:
    """Names of rules of which something is going on."""
    return list(connection.execute(select(_i.rule).where(_i.resolved_us.is_(None)).distinct()).scalars())


def begin(connection: Connection, rule: str, trouble: Trouble, now_us: int) -> Incident | None:
    """A new incident; None when another collector was quicker."""
    values = {
        "since_us": trouble.since_us, "opened_us": now_us, "resolved_us": None, "detail": dict(trouble.detail),
    }  # fmt: skip
    insert_ = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    query = insert_(alert_incidents).values(rule=rule, key=trouble.key, number=1, **values)
    # Only one that is over can begin again; of two collectors that try, one finds no row to write.
    query = query.on_conflict_do_update(
        index_elements=["rule", "key"], set_={**values, "number": _i.number + 1}, where=_i.resolved_us.is_not(None)
    )
    row = connection.execute(query.returning(*alert_incidents.columns)).one_or_none()
    return Incident(**row._mapping) if row else None


def end(connection: Connection, incident: Incident, now_us: int) -> bool:
    """It is over; False when another collector was quicker."""
    query = update(alert_incidents).where(_i.rule == incident.rule, _i.key == incident.key, _i.resolved_us.is_(None))
    return connection.execute(query.values(resolved_us=now_us)).rowcount == 1


def count_open(connection: Connection) -> dict[str, int]:
    """Rule → incidents going on."""
    query = select(_i.rule, func.count()).where(_i.resolved_us.is_(None)).group_by(_i.rule)
    return {rule: int(count) for rule, count in connection.execute(query)}


# -- outbox ---------------------------------------------------------------------------------------------------


def put(connection: Connection, webhook: str, incident: str, state: str, body: str, now_us: int) -> None:
    """A message that has to be delivered."""
    connection.execute(
        insert(webhook_outbox).values(
            webhook=webhook,
            incident=incident,
            state=state,
            body=body,
            created_us=now_us,
            due_us=now_us,
            attempts=0,
            taken_until_us=0,
        )
    )


def take(connection: Connection, webhook: str, now_us: int, until_us: int) -> Message | None:
    """The oldest message that waits for this webhook, if it is due and nobody is at it; it is ours until then."""
    first = select(*_MESSAGE, _o.taken_until_us).where(_o.webhook == webhook, _o.done_us.is_(None))
    row = connection.execute(first.order_by(_o.number).limit(1)).one_or_none()
    if row is None or row.due_us > now_us or row.taken_until_us > now_us:
        return None
    query = update(webhook_outbox).where(_o.number == row.number, _o.taken_until_us == row.taken_until_us)
    if connection.execute(query.values(taken_until_us=until_us)).rowcount != 1:
        return None
    return Message(**{name: row._mapping[name] for name in Message.__dataclass_fields__})


def done(connection: Connection, number: int, now_us: int, result: str) -> None:
    """Delivered, or given up."""
    connection.execute(update(webhook_outbox).where(_o.number == number).values(done_us=now_us, result=result))


def failed(connection: Connection, number: int, due_us: int, why: str) -> None:
    """Try again then."""
    query = update(webhook_outbox).where(_o.number == number)
    connection.execute(query.values(attempts=_o.attempts + 1, due_us=due_us, taken_until_us=0, result=why))


def waiting(connection: Connection) -> dict[str, int]:
    """Webhook → messages that wait."""
    query = select(_o.webhook, func.count()).where(_o.done_us.is_(None)).group_by(_o.webhook)
    return {webhook: int(count) for webhook, count in connection.execute(query)}


def forget(connection: Connection, before_us: int) -> None:
    """Drop messages of before then, also those of a webhook that nobody serves any more, and incidents long over.

    Incidents stay longer: one that comes back goes on counting, so that receivers do not take it for a repetition.
    """
    connection.execute(delete(webhook_outbox).where(_o.created_us < before_us))
    connection.execute(delete(alert_incidents).where(_i.resolved_us < before_us - _COUNTED_US))


def _case(row: Any, since_us: int) -> Trouble:
    names = ("number", "kind", "site", "agent", "terminal", "transaction", "amount", "currency", "owner", "status")
    return Trouble(f"case-{row.number}", since_us, {name: row._mapping[name] for name in names})


def _at(column: ColumnElement[Any], site: str | None) -> list[ColumnElement[bool]]:
    return [] if site is None else [column == site]
