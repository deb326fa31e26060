"""Cases: the list by due time, and one case worked to its end: owner, due time, notes, steps, package, proof."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from agent.errors import TillwatchError
from agent.phrase import phrase
from collector.access.people import User, Via
from collector.access.roles import Permission, Role, may
from collector.cases.desk import Desk
from collector.cases.life import NEEDS_NOTE, Kind, Reason, Status
from collector.ledger import accounts, cases, views_payments
from collector.ledger.cases import Entry, Wanted
from collector.texts import Texts
from collector.web.context import site_of
from collector.web.language import texts_of
from collector.web.pages.draw import draw, shown_of
from collector.web.problems import Problem, status_of
from collector.web.security import Reader, require

router = APIRouter(include_in_schema=False)
Noter = Annotated[User, Depends(require(Permission.NOTE))]
Worker = Annotated[User, Depends(require(Permission.WORK_CASES))]
Text = Annotated[str, Form(max_length=8000)]
_ROWS = 200
_S = 1_000_000
_VIEWS = ("open", "mine", "overdue", "closed")


@router.get("/cases")
def case_list(request: Request, user: Reader) -> Response:
    """Those that are due first, first."""
    site = site_of(request)
    view = request.query_params.get("view", "open")
    view = view if view in _VIEWS else "open"
    kind = request.query_params.get("kind")
    kind = kind if kind in set(Kind) else None
    wanted = {
        "open": Wanted(open=True, kind=kind),
        "mine": Wanted(open=True, owner=user.name, kind=kind),
        "overdue": Wanted(overdue_us=site.now_us, kind=kind),
        "closed": Wanted(open=False, kind=kind),
    }
    with site.ledger.read() as connection:
        find = cases.find if view == "closed" else cases.worklist
        rows = find(connection, wanted[view], _ROWS)
        counts = {name: cases.count(connection, one) for name, one in wanted.items() if name != "closed"}
    return draw(
        request, "cases.html", "cases", rows=rows, view=view, kind=kind, kinds=list(Kind), views=_VIEWS, per_view=counts
    )


@router.get("/cases/{number}")
def one_case(request: Request, number: int, user: Reader) -> Response:
    """One case."""
    return _case(request, number, user)


@router.post("/transactions/{transaction}/case")
def open_case(request: Request, transaction: str, user: Noter, note: Text = "") -> Response:
    """Open a case about a payment by hand."""
    texts = texts_of(request)
    case = _desk(request).create(user, transaction, note or texts.say("page.case_opened_note", who=user.display))
    return RedirectResponse(f"/cases/{case.number}", 303)


@router.post("/cases/{number}/note")
def add_note(request: Request, number: int, user: Noter, text: Text = "") -> Response:
    """Write down what was found out, or agreed."""
    return _act(request, number, user, lambda desk: desk.note(user, number, text), {"text": text})


@router.post("/cases/{number}/owner")
def set_owner(request: Request, number: int, user: Worker, owner: Text = "", seen: int | None = Form(None)) -> Response:
    """Who sees to it."""
    seen = _seen(request, number, user, seen)
    return _act(request, number, user, lambda desk: desk.set_owner(user, number, owner or None, seen=seen))


@router.post("/cases/{number}/due")
def set_due(
    request: Request,
    number: int,
    user: Worker,
    due: Text = "",
    hours: int | None = Form(None),
    seen: int | None = Form(None),
) -> Response:
    """When somebody looks again: a time, or so many hours from now."""
    site, show = site_of(request), shown_of(request)
    try:
        due_us = site.now_us + hours * 3600 * _S if hours is not None else show.local_us(due)
    except (ValueError, OverflowError):
        raise Problem(400, phrase("page.bad_day", text=due[:40])) from None
    seen = _seen(request, number, user, seen)
    return _act(request, number, user, lambda desk: desk.set_due(user, number, due_us, seen=seen))


@router.post("/cases/{number}/status")
def set_status(
    request: Request,
    number: int,
    user: Worker,
    status: Text,
    reason: Text = "",
    note: Text = "",
    seen: int | None = Form(None),
) -> Response:
    """The next step; closing names its reason."""
    if status not in set(Status) or (reason and reason not in set(Reason)):
        raise Problem(400, phrase("page.bad_step"))
    step = Status(status)
    why = Reason(reason) if reason and step is Status.CLOSED else None
    seen = _seen(request, number, user, seen)

    def act(desk: Desk) -> object:
        return desk.set_status(user, number, step, reason=why, note=note or None, seen=seen)

    return _act(request, number, user, act, {"note": note})


def _seen(request: Request, number: int, user: User, seen: int | None) -> int | None:
    """What the person has seen: with what they did themselves since, in another tab or by taking the package."""
    if seen is None:
        return None
    since = _desk(request).view(number).history[max(0, seen) :]
    return seen + len(since) if all(entry.actor == user.name for entry in since) else seen


def _act(
    request: Request, number: int, user: User, act: Callable[[Desk], object], typed: dict[str, str] | None = None
) -> Response:
    """Do it and show the case again; what was typed is not lost when it is refused."""
    try:
        act(_desk(request))
    except TillwatchError as error:
        return _case(request, number, user, bad=error, typed=typed)
    return RedirectResponse(f"/cases/{number}", 303)


def _desk(request: Request) -> Desk:
    return site_of(request).desk


def _case(
    request: Request,
    number: int,
    user: User,
    *,
    bad: TillwatchError | None = None,
    typed: dict[str, str] | None = None,
) -> Response:
    site, texts = site_of(request), texts_of(request)
    view = _desk(request).view(number)
    case = view.case
    with site.ledger.read() as connection:
        payment = (
            views_payments.by_ids(connection, [case.transaction]).get(case.transaction) if case.transaction else None
        )
        workers = [
            account
            for account in accounts.all_accounts(connection)
            if not account.disabled and may(Role(account.role), Permission.WORK_CASES)
        ]
    return draw(
        request,
        "case.html",
        "cases",
        status=status_of(bad) if bad else 200,
        case=case,
        payment=payment,
        history=[_told(entry, texts, request) for entry in reversed(view.history)],
        broken_at=view.broken_at,
        following=view.next,
        needs_note={after.value for before, after in NEEDS_NOTE if before.value == case.status},
        reasons=list(Reason),
        workers=workers,
        mine=user.name if user.via is Via.SESSION else None,
        bad=bad.text(texts) if bad else None,
        typed=typed or {},
    )


def _told(entry: Entry, texts: Texts, request: Request) -> dict[str, Any]:
    """One entry of the history in words."""
    data = json.loads(entry.data)
    key = f"page.history_{entry.action}"
    return {
        "us": entry.at_us,
        "actor": entry.actor,
        "via": entry.via,
        "text": texts.say(key, **_words(entry.action, data, texts, request)) if texts.has(key) else entry.action,
        "note": data.get("text") or data.get("note") or "",
        "seal": entry.hash[:12],
    }


def _words(action: str, data: dict[str, Any], texts: Texts, request: Request) -> dict[str, str]:
    """What the text of an entry is filled with."""
    show, say = shown_of(request), texts.say
    old, new = data.get("from"), data.get("to")
    if action == "due":
        return {"old": show.minute(old), "new": show.minute(new)}
    if action == "owner":
        return {"old": old or say("page.nobody"), "new": new or say("page.nobody")}
    if action == "status":
        why = say(f"cases.reason_{data['reason']}") if data.get("reason") else ""
        return {"old": say(f"cases.status_{old}"), "new": say(f"cases.status_{new}") + (f" ({why})" if why else "")}
    return {
        "outcome": say(f"history.outcome_{data.get('outcome')}"),
        "digest": str(data.get("sha256", ""))[:16],
        "why": say(f"history.reason_{data['reason']}") if data.get("reason") else "",
    }
