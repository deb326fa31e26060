"""The books: which days were reconciled, what differed and why, and what became of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from agent.phrase import phrase
from collector.access.people import User
from collector.access.roles import Permission
from collector.ledger import audit, reconcile
from collector.reconcile.explain import evidence_line, explain
from collector.web.context import site_of
from collector.web.language import texts_of
from collector.web.pages.draw import draw, shown_of
from collector.web.problems import Problem
from collector.web.security import Reader, require
from drivers.cards import scrub

router = APIRouter(include_in_schema=False)
Reconciler = Annotated[User, Depends(require(Permission.RECONCILE))]
_DIFFERENCES = 1000


@router.get("/days")
def days(request: Request, _user: Reader) -> Response:
    """The days, newest first."""
    before = request.query_params.get("before")
    with site_of(request).ledger.read() as connection:
        found = reconcile.days(connection, before=before, limit=63)
        open_ones = reconcile.differences(connection, status=[reconcile.OPEN], limit=_DIFFERENCES)
    return draw(
        request,
        "days.html",
        "days",
        days=found[:62],
        next=found[61].day if len(found) > 62 else None,
        open_count=len(open_ones),
        per_category=Counter(one.category for one in open_ones),
    )


@router.get("/days/{day}")
def one_day(request: Request, day: str, _user: Reader) -> Response:
    """One day with its differences, by category."""
    texts = texts_of(request)
    category = request.query_params.get("category")
    with site_of(request).ledger.read() as connection:
        found = reconcile.day(connection, day)
        if found is None:
            raise Problem(404, phrase("page.no_such_day", day=day[:20]))
        differences = reconcile.differences(connection, day=day, limit=_DIFFERENCES)
        findings = reconcile.findings(connection, day)
        runs = reconcile.runs(connection, day)
    zone = ZoneInfo(found.run.zone)
    shown = [one for one in differences if category in (None, "", one.category)]
    return draw(
        request,
        "day.html",
        "days",
        day=found,
        runs=runs,
        per_category=Counter(one.category for one in differences),
        category=category,
        differences=[
            (
                one,
                explain(one, texts, zone),
                [evidence_line(row, texts, zone) for row in (*one.evidence, *one.candidates)],
            )
            for one in shown
        ],
        findings=findings,
        books=replace(shown_of(request), zone=zone),
        currency=next((one.currency for one in differences if one.currency), None),
    )


@router.post("/days/{day}/differences/{difference}")
def settle(
    request: Request, day: str, difference: str, user: Reconciler, note: Annotated[str, Form(max_length=2000)] = ""
) -> Response:
    """A person looked, and it is in order; says why."""
    if not note.strip():
        raise Problem(400, phrase("page.settle_needs_note"))
    site, note = site_of(request), scrub(note.strip())
    with site.ledger.write() as connection:
        done = reconcile.settle_by_person(connection, difference, by=user.name, note=note, at_us=site.now_us)
        if done:
            audit.write(
                connection,
                at_us=site.now_us,
                actor=user.name,
                role=user.role.value,
                via=user.via.value,
                address=user.address,
                action="difference.settled",
                about=difference,
                detail={"day": day},
            )
    return RedirectResponse(f"/days/{day}#difference-{difference}", 303)
