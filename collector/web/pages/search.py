"""The search at the window: last four digits, amount, time, a number from the slip; together or in one box."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from agent.phrase import phrase
from collector.ledger.views_payments import Payment, Wanted, payments
from collector.texts import Texts
from collector.web.context import site_of
from collector.web.pages.draw import draw, shown_of
from collector.web.pages.question import (
    BadQuestionError,
    Meaning,
    parse_amount,
    parse_last4,
    parse_number,
    understand,
)
from collector.web.pages.shown import Shown
from collector.web.security import Reader

router = APIRouter(include_in_schema=False)
_ROWS = 50
#: people remember a time to about so much
AROUND_US = 15 * 60 * 1_000_000


@router.get("/search")
def search(request: Request, _user: Reader) -> Response:
    """What was asked for, newest first; the form alone when nothing was."""
    show = shown_of(request)
    typed = {name: value.strip() for name, value in request.query_params.items() if value.strip()}
    typed = {name: typed[name] for name in ("q", "last4", "amount", "number", "day", "time") if name in typed}
    rows: list[Payment] = []
    bad = read_as = None
    if typed:
        try:
            wishes = wishes_of(typed, show)
            with site_of(request).ledger.read() as connection:
                rows = _find(connection, wishes)
            read_as = _told(wishes, show) if "q" in typed else None
        except BadQuestionError as error:
            bad = error.what.say(show.texts)
    return draw(
        request,
        "search.html",
        "search",
        status=400 if bad else 200,
        rows=rows[:_ROWS],
        cut=len(rows) > _ROWS,
        bad=bad,
        read_as=read_as,
        asked=bool(typed),
    )


def wishes_of(typed: dict[str, str], show: Shown) -> list[Wanted]:
    """Everything that was typed, as filters of which one must fit. Raises BadQuestionError."""
    meanings = understand(typed["q"]) if "q" in typed else [Meaning()]
    since, until = _span(typed.get("day"), typed.get("time"), show)
    base = Wanted(
        since_us=since,
        until_us=until,
        last4=parse_last4(typed["last4"]) if "last4" in typed else None,
        amount=parse_amount(typed["amount"]) if "amount" in typed else None,
        number=parse_number(typed["number"]) if "number" in typed else None,
    )
    return [
        replace(
            base,
            last4=base.last4 or meaning.last4,
            amount=meaning.amount if base.amount is None else base.amount,
            number=base.number or meaning.number,
        )
        for meaning in meanings
    ]


def _span(day: str | None, time: str | None, show: Shown) -> tuple[int | None, int | None]:
    """From when to when: a whole day, or a quarter of an hour around a time (of today, when no day is given)."""
    if day is None and time is None:
        return None, None
    try:
        begin, end = show.day_us(day or show.moment(show.now_us)[:10])
        if time is None:
            return begin, end
        at = show.local_us(f"{show.moment(begin)[:10]}T{datetime.strptime(time[:5], '%H:%M'):%H:%M}")
    except ValueError:
        raise BadQuestionError(phrase("page.bad_day", text=f"{day or ''} {time or ''}".strip()[:40])) from None
    return (None, None) if at is None else (at - AROUND_US, at + AROUND_US + 60_000_000)


def _find(connection: Connection, wishes: list[Wanted]) -> list[Payment]:
    """The payments that fit one of them, each once."""
    found = {payment.id: payment for wanted in wishes for payment in payments(connection, wanted, _ROWS + 1)}
    return sorted(found.values(), key=lambda payment: (-payment.started_us, payment.id))


def _told(wishes: list[Wanted], show: Shown) -> str:
    """How the box was understood, so that nobody wonders about what was found."""
    return show.texts.say("page.search_or").join(dict.fromkeys(_one(wanted, show, show.texts) for wanted in wishes))


def _one(wanted: Wanted, show: Shown, texts: Texts) -> str:
    parts = []
    if wanted.last4:
        parts.append(texts.say("page.read_last4", last4=wanted.last4))
    if wanted.amount is not None:
        parts.append(texts.say("page.read_amount", amount=show.money(wanted.amount, None)))
    if wanted.number:
        parts.append(texts.say("page.read_number", number=wanted.number))
    return " + ".join(parts)
