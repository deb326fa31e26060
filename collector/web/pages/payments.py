"""Payments: the live list, the doubts, one payment with its time line and slips."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from agent import telling
from agent.advice import advice as advise
from agent.events import AskedData, EventType
from agent.frozen import to_plain
from agent.phrase import phrase
from collector.ledger import cases as case_rows
from collector.ledger import reconcile, views_fleet, views_payments
from collector.ledger.published import transaction_of
from collector.ledger.reconcile import Finding
from collector.ledger.views_payments import Told, Wanted, Whole
from collector.texts import Texts
from collector.web.context import site_of
from collector.web.language import texts_of
from collector.web.pages.caseload import cases_about
from collector.web.pages.draw import draw, shown_of
from collector.web.pages.overview import DAYS_UNDELIVERED_US
from collector.web.pages.question import BadQuestionError, parse_amount, parse_last4
from collector.web.pages.shown import Shown, us_of
from collector.web.problems import Problem
from collector.web.security import Reader

router = APIRouter(include_in_schema=False)
_ROWS = 60
_MANY = 500
STATES = (
    "doubt", "open", "approved", "declined", "cancelled", "reversed", "not_executed", "undelivered", "unknown",
)  # fmt: skip
_TONES = {
    EventType.TRANSACTION_PENDING: "bad",
    EventType.TRANSACTION_CONFIRMED: "good",
    EventType.TRANSACTION_UNDELIVERED: "warn",
    EventType.TRANSACTION_ESCALATED: "bad",
    EventType.TRANSACTION_WARNING: "bad",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a time line. `tone`: good, bad, warn, ask, or nothing."""

    us: int
    text: str
    more: str = ""
    tone: str = ""


@router.get("/live")
def live(request: Request, _user: Reader) -> Response:
    """The list, newest first; with `before` it stands still and goes back in time."""
    site, show, query = site_of(request), shown_of(request), request.query_params
    wanted, bad = _wanted(request, show)
    with site.ledger.read() as connection:
        rows = [] if bad else views_payments.payments(connection, wanted, _ROWS + 1, _cursor(query.get("before")))
        places = views_payments.places(connection)
    following = f"{rows[_ROWS - 1].started_us}-{rows[_ROWS - 1].id}" if len(rows) > _ROWS else None
    return draw(
        request,
        "live.html",
        "live",
        status=400 if bad else 200,
        rows=rows[:_ROWS],
        next=following,
        before=query.get("before"),
        bad=bad,
        wanted=wanted,
        filtered=wanted != Wanted() or bad is not None,
        places=places,
        states=STATES,
    )


@router.get("/doubts")
def doubts(request: Request, _user: Reader) -> Response:
    """Everything that somebody has to know about, the oldest first."""
    site, now = site_of(request), site_of(request).now_us
    with site.ledger.read() as connection:
        found = views_payments.doubts(connection, now, _MANY)
        count = views_payments.count_doubts(connection, now)
        lost = views_payments.undelivered(connection, now - DAYS_UNDELIVERED_US, _MANY)
        cases = cases_about(connection, [payment.id for payment in found])
    return draw(request, "doubts.html", "doubts", doubts=found, doubt_count=count, undelivered=lost, cases=cases)


@router.get("/transactions/{transaction}")
def transaction(request: Request, transaction: str, _user: Reader) -> Response:
    """One payment."""
    site, show, texts = site_of(request), shown_of(request), texts_of(request)
    with site.ledger.read() as connection:
        found = views_payments.whole(connection, transaction)
        if found is None:
            raise Problem(404, phrase("page.no_such_payment", id=transaction[:40]))
        terminal = views_fleet.terminal(connection, found.payment.agent, found.payment.terminal)
        cases = case_rows.cases_of(connection, [transaction])
        difference = next(iter(reconcile.differences(connection, transaction=transaction, limit=1)), None)
        finding = reconcile.finding_of(connection, transaction) if found.payment.proved_as else None
    payment = found.payment
    if finding is not None:
        found = replace(found, data=finding.told_by(found.data, booked=payment.reconciled_as == "matched"))
    protocol = (terminal.protocol if terminal else None) or ""
    return draw(
        request,
        "transaction.html",
        "doubts" if payment.pending else "live",
        it=payment,
        advice=_proof(finding, texts) if finding else _advice(found, protocol, texts),
        warnings=[
            telling.step(_fits(told), texts) for told in found.told if told.type == EventType.TRANSACTION_WARNING
        ],
        steps=steps(found, texts, finding),
        slips=_slips(found, texts),
        facts=_facts(found, show, texts),
        cases=cases,
        difference=difference,
    )


def _advice(found: Whole, protocol: str, texts: Texts) -> str:
    """What it means and what to do: as the agent published it, else from the outcome."""
    if found.data.advice is not None:
        return str(to_plain(found.data.advice)[texts.language])
    return advise(found.data, protocol, texts)


def _proof(finding: Finding, texts: Texts) -> str:
    """What the acquirer's file says of a payment that the window did not know the outcome of."""
    return texts.say(f"page.proved_{finding.outcome}", day=finding.day, file=finding.file, line=finding.line)


def steps(found: Whole, texts: Texts, finding: Finding | None = None) -> list[Step]:
    """The time line: every event, every question that was put to the terminal in between, what a file proved."""
    line = [
        Step(us_of(told.time), telling.step(_fits(told), texts), _more(told, texts), _tone(told))
        for told in found.told
        if told.type != EventType.RECEIPT_CAPTURED
    ]
    line += [
        Step(receipt.time_us, texts.say("history.event_receipt_captured"), _copy(receipt.kind, texts), "ask")
        for receipt in found.receipts
    ]
    line += [
        Step(us_of(asked.at), texts.say("page.asked"), telling.question(asked, texts), "ask") for asked in _asked(found)
    ]
    if finding is not None:
        line.append(Step(finding.found_us, texts.say("page.proved_by_file"), f"{finding.file}:{finding.line}", "good"))
    return sorted(line, key=lambda step: step.us)


def _asked(found: Whole) -> Iterable[AskedData]:
    return {asked.at: asked for asked in found.data.asked}.values()


def _fits(told: Told) -> Any:
    return told  # agent.telling reads type and data; Told of the journal has the same two


def _tone(told: Told) -> str:
    if told.type == EventType.TRANSACTION_COMPLETED:
        return "good" if told.data.get("outcome") == "approved" else ""
    return _TONES.get(EventType(told.type), "") if told.type in set(EventType) else ""


def _more(told: Told, texts: Texts) -> str:
    if told.type in (EventType.TRANSACTION_COMPLETED, EventType.TRANSACTION_CONFIRMED):
        return telling.response(transaction_of(told.data), texts) or ""
    return ""


def _copy(kind: str | None, texts: Texts) -> str:
    return texts.say(f"history.copy_{kind}") if kind else ""


def _slips(found: Whole, texts: Texts) -> list[dict[str, object]]:
    return [
        {
            "title": _copy(receipt.kind, texts) or texts.say("history.receipt_none"),
            "text": receipt.text,
            "complete": receipt.complete,
            "time_us": receipt.time_us,
        }
        for receipt in found.receipts
    ]


def _facts(found: Whole, show: Shown, texts: Texts) -> list[tuple[str, str]]:
    data = found.data
    facts = telling.facts(data, texts)
    facts["amount"] = show.money(data.amount, data.currency)
    facts["started_at"] = show.told(data.started_at)
    if data.ended_at:
        facts["ended_at"] = show.told(data.ended_at)
    if found.payment.proved_as:
        facts["how"] = texts.say("page.proved_by_file")
    if data.channel_order:
        facts["channel_order"] = data.channel_order
    return [(texts.say(f"history.{name}"), value) for name, value in facts.items()]


def _wanted(request: Request, show: Shown) -> tuple[Wanted, str | None]:
    """The filter in the address, and what is wrong with it."""
    query = {name: value.strip() for name, value in request.query_params.items() if value.strip()}
    try:
        since, until = show.day_us(query["day"]) if "day" in query else (None, None)
        return Wanted(
            since_us=since,
            until_us=until,
            site=query.get("site"),
            agent=query.get("agent"),
            terminal=query.get("terminal"),
            state=query["state"] if query.get("state") in STATES else None,
            amount=parse_amount(query["amount"]) if "amount" in query else None,
            last4=parse_last4(query["last4"]) if "last4" in query else None,
        ), None
    except BadQuestionError as error:
        return Wanted(), error.what.say(show.texts)
    except ValueError:
        return Wanted(), show.texts.say("page.bad_day", text=query["day"])


def _cursor(text: str | None) -> tuple[int, str] | None:
    started, dash, last = (text or "").partition("-")
    return (int(started), last) if dash and started.isdecimal() and len(started) < 20 else None
