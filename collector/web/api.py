"""The API's reading side: transactions, agents, terminals. Parameters and shapes are public (docs/api.md)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, Request

from agent.phrase import phrase
from collector.ledger import alerts, cases, lookup
from collector.ledger.lookup import Found
from collector.ledger.published import read_json
from collector.web import api_shapes as shapes
from collector.web import values
from collector.web.context import Site, site_of
from collector.web.problems import BadValueError, Problem
from collector.web.security import Reader
from drivers.observations import Outcome


def only_known_parameters(request: Request) -> None:
    """Refuse a misspelt parameter: overlooked, it would answer another question than was asked."""
    route = request.scope["route"]
    known = [parameter.alias for parameter in route.dependant.query_params]
    for name in request.query_params:
        if name not in known:
            raise BadValueError(name[:64], phrase("web.unknown_parameter", known=", ".join(known) or "-"))


router = APIRouter(prefix="/api", tags=["ledger"], dependencies=[Depends(only_known_parameters)])


@router.get("/transactions", summary="Transactions by filter, newest first")
def get_transactions(
    request: Request,
    _user: Reader,
    *,
    since: str | None = None,
    until: str | None = None,
    site: str | None = None,
    agent: str | None = None,
    terminal: str | None = None,
    outcome: str | None = None,
    pending: str | None = None,
    last4: str | None = None,
    amount: str | None = None,
    trace: str | None = None,
    order: str | None = None,
    limit: str | None = None,
    cursor: str | None = None,
) -> shapes.Transactions:
    """`since`, `until`: RFC 3339 or Unix seconds, of the start; `amount`: minor units; `limit`: 1 to 1000, else 100."""
    wanted = lookup.Filter(
        since_us=values.moment_us("since", since),
        until_us=values.moment_us("until", until),
        site=values.identifier("site", site),
        agent=values.identifier("agent", agent),
        terminal=values.identifier("terminal", terminal),
        outcome=values.word("outcome", outcome, Outcome),
        pending=values.flag("pending", pending),
        last4=values.digits("last4", last4, 4, 4),
        amount=values.whole("amount", amount, -(1 << 62), 1 << 62),
        trace=values.digits("trace", trace, 1, 12),
        order=values.plain("order", order),
    )
    most = values.whole("limit", limit, 1, values.MOST) or 100
    with site_of(request).ledger.read() as connection:
        found = lookup.find(connection, wanted, most + 1, values.place_of(cursor))
    page = found[:most]
    following = values.cursor((page[-1].started_us, page[-1].id)) if len(found) > most else None
    return shapes.Transactions(items=[shapes.Transaction(**_transaction(row)) for row in page], next=following)


@router.get("/transactions/{id}", summary="One transaction with its events and receipts")
def get_transaction(request: Request, _user: Reader, id: str) -> shapes.Whole:
    """404 when nobody told of it."""
    with site_of(request).ledger.read() as connection:
        row = lookup.one(connection, id.upper())
        if row is None:
            raise Problem(HTTPStatus.NOT_FOUND, phrase("web.no_transaction", id=id[:64]))
        told = lookup.told(connection, row.id)
        slips = lookup.slips(connection, row.id)
        about = cases.cases_of(connection, [row.id])
    fields = _transaction(row) | {
        "events": [read_json(event.body) for event in told],
        "event_count": row.events,
        "receipts": [
            shapes.Receipt(
                receipt_kind=slip.receipt_kind,
                complete=slip.complete,
                text=slip.text.split("\n"),
                time=values.rfc3339(slip.time_us) or "",
            )
            for slip in slips
        ],
        "cases": [case.number for case in about],
    }
    return shapes.Whole(**fields)


@router.get("/agents", summary="Agents: what is stored of them, what is missing, whether they are online or stale")
def get_agents(
    request: Request,
    _user: Reader,
    site: str | None = None,
    limit: str | None = None,
    cursor: str | None = None,
) -> shapes.Agents:
    """By name. Without `limit` up to 10,000 at once, which is everybody on one collector."""
    place = values.place_of(cursor)
    wanted = values.identifier("site", site)
    most = values.whole("limit", limit, 1, 10_000) or 10_000
    parts = site_of(request)
    with parts.ledger.read() as connection:
        found = lookup.agents_by_name(connection, most + 1, place[1] if place else None, wanted)
    page = found[:most]
    following = values.cursor((0, page[-1].agent)) if len(found) > most else None
    return shapes.Agents(items=[_agent(parts, row) for row in page], next=following)


@router.get("/terminals", summary="Terminals and their links")
def get_terminals(
    request: Request, _user: Reader, site: str | None = None, agent: str | None = None
) -> shapes.Terminals:
    """By site, agent and name."""
    parts = site_of(request)
    wanted = {"site": values.identifier("site", site), "agent": values.identifier("agent", agent)}
    with parts.ledger.read() as connection:
        found = lookup.terminals_by_place(connection, **wanted)
    return shapes.Terminals(
        items=[
            shapes.Terminal(
                site=row.site,
                agent=row.agent,
                terminal=row.terminal,
                protocol=row.protocol,
                device=row.device,
                link=row.link,
                reason=row.reason,
                detail=row.detail,
                since=values.rfc3339(row.since_us),
                last_frame_at=values.rfc3339(row.last_frame_us),
                stale=_stale(parts, row),
                metrics=dict(row.metrics) if row.metrics else None,
            )
            for row in found
        ]
    )


@router.get("/alerts", summary="What the rules of [[alert]] found and is going on")
def get_alerts(request: Request, _user: Reader) -> shapes.Alerts:
    """At most a thousand."""
    with site_of(request).ledger.read() as connection:
        found = alerts.going_on(connection, values.MOST)
    return shapes.Alerts(
        items=[
            shapes.Alert(
                rule=incident.rule,
                subject=incident.key,
                since=values.rfc3339(incident.since_us) or "",
                opened_at=values.rfc3339(incident.opened_us) or "",
                detail=dict(incident.detail),
            )
            for incident in found
        ]
    )


def _transaction(row: Found) -> dict[str, Any]:
    return {
        **row.data,
        "transaction": row.id,
        "site": row.site,
        "agent": row.agent,
        "events": row.events,
        "pending": row.pending,
        "escalated": row.escalated,
        "reconciled_as": row.reconciled_as,
        "proved_as": row.proved_as,
        "updated_at": values.rfc3339(row.updated_us) or "",
    }


def _agent(parts: Site, row: lookup.Agent) -> shapes.Agent:
    present = next((stream for stream in row.streams if stream.epoch == row.epoch), None) or next(
        iter(row.streams), None
    )
    gaps = list(present.gaps) if present else []
    return shapes.Agent(
        agent=row.agent,
        site=row.site,
        version=row.version,
        online=row.online,
        stale=_stale(parts, row),
        since=values.rfc3339(row.since_us),
        last_seen=values.rfc3339(row.last_seen_us) or "",
        epoch=present.epoch if present else row.epoch,
        sequence=present.stored if present else 0,
        journal_sequence=row.sequence,
        gaps=gaps,
        missing=sum(last - first + 1 for first, last in gaps),
        pending=row.pending,
        outbox=row.outbox,
        streams=[
            shapes.Stream(
                epoch=stream.epoch,
                stored=stream.stored,
                highest=stream.highest,
                gaps=list(stream.gaps),
                gap_since=values.rfc3339(stream.gap_since_us),
            )
            for stream in row.streams
        ],
    )


def _stale(parts: Site, row: lookup.Agent | lookup.Terminal) -> bool:
    """Silent for too long: what it told last must not be shown as how things are."""
    return parts.now_us - row.last_seen_us > parts.settings.stale_s * 1_000_000
