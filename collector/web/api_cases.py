"""The API of cases: list, read, open, note, status, owner, due time. Writes need a role, and are written down."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from collector.access.people import User
from collector.access.roles import Permission
from collector.cases import Kind, Reason, Status
from collector.ledger import cases
from collector.ledger.cases import Case
from collector.web import api_shapes as shapes
from collector.web import values
from collector.web.api import only_known_parameters
from collector.web.context import Site, site_of
from collector.web.security import Reader, require

router = APIRouter(prefix="/api/cases", tags=["cases"], dependencies=[Depends(only_known_parameters)])
Writer = Annotated[User, Depends(require(Permission.NOTE))]
Worker = Annotated[User, Depends(require(Permission.WORK_CASES))]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewCase(_Body):
    """A case about a payment, opened by a person."""

    transaction: str = Field(max_length=64)
    note: str = Field(max_length=8000)


class NewNote(_Body):
    """A note. Card numbers in it are masked."""

    text: str = Field(max_length=8000)


class NewStatus(_Body):
    """The next step. `reason`: when it is `closed`; `seen`: `entries` of the case as it was looked at."""

    status: Status
    reason: Reason | None = None
    note: str | None = Field(None, max_length=8000)
    seen: int | None = None


class NewOwner(_Body):
    """An account's name, or null for nobody."""

    owner: str | None = Field(max_length=64)
    seen: int | None = None


class NewDue(_Body):
    """When somebody has to look again, RFC 3339 with offset; null for never."""

    due: str | None = Field(max_length=40)
    seen: int | None = None


@router.get("", summary="Cases, the newest first")
def get_cases(
    request: Request,
    _user: Reader,
    *,
    status: str | None = None,
    open: str | None = None,
    kind: str | None = None,
    owner: str | None = None,
    site: str | None = None,
    agent: str | None = None,
    transaction: str | None = None,
    overdue: str | None = None,
    limit: str | None = None,
    cursor: str | None = None,
) -> shapes.Cases:
    """`open`: true for those that are not closed; `overdue`: true for those whose due time is over."""
    parts = site_of(request)
    wanted = cases.Wanted(
        open=values.flag("open", open),
        status=values.word("status", status, Status),
        kind=values.word("kind", kind, Kind),
        owner=values.plain("owner", owner, 64),
        site=values.identifier("site", site),
        agent=values.identifier("agent", agent),
        transaction=values.plain("transaction", transaction, 64),
        overdue_us=parts.now_us if values.flag("overdue", overdue) else None,
    )
    most = values.whole("limit", limit, 1, values.MOST) or 100
    place = values.place_of(cursor)
    with parts.ledger.read() as connection:
        found = cases.find(connection, wanted, most + 1, place[0] if place else None)
    page = found[:most]
    following = values.cursor((page[-1].number, "")) if len(found) > most else None
    return shapes.Cases(items=[shapes.Case(**_fields(parts, case)) for case in page], next=following)


@router.post("", status_code=HTTPStatus.CREATED, summary="Open a case about a payment")
def post_case(request: Request, user: Writer, body: NewCase) -> shapes.CaseWhole:
    """Where a person opened one about it already, the note is added to that one."""
    parts = site_of(request)
    return _whole(parts, parts.desk.create(user, body.transaction.upper(), body.note).number)


@router.get("/{number}", summary="One case with its history")
def get_case(request: Request, _user: Reader, number: int) -> shapes.CaseWhole:
    """404 when there is none."""
    return _whole(site_of(request), number)


@router.post("/{number}/notes", status_code=HTTPStatus.CREATED, summary="Add a note")
def post_note(request: Request, user: Writer, number: int, body: NewNote) -> shapes.CaseWhole:
    """The case with the note in its history."""
    parts = site_of(request)
    return _whole(parts, parts.desk.note(user, number, body.text).number)


@router.put("/{number}/status", summary="Take the next step")
def put_status(request: Request, user: Worker, number: int, body: NewStatus) -> shapes.CaseWhole:
    """400 when the step is not allowed from here; 409 when somebody else changed the case after `seen`."""
    parts = site_of(request)
    case = parts.desk.set_status(user, number, body.status, reason=body.reason, note=body.note, seen=body.seen)
    return _whole(parts, case.number)


@router.put("/{number}/owner", summary="Give the case to somebody")
def put_owner(request: Request, user: Worker, number: int, body: NewOwner) -> shapes.CaseWhole:
    """400 when there is no such account."""
    parts = site_of(request)
    return _whole(parts, parts.desk.set_owner(user, number, body.owner, seen=body.seen).number)


@router.put("/{number}/due", summary="Say when somebody has to look again")
def put_due(request: Request, user: Worker, number: int, body: NewDue) -> shapes.CaseWhole:
    """The case with its new due time."""
    parts = site_of(request)
    return _whole(parts, parts.desk.set_due(user, number, values.moment_us("due", body.due), seen=body.seen).number)


def _whole(parts: Site, number: int) -> shapes.CaseWhole:
    view = parts.desk.view(number)
    history = [
        shapes.CaseEntry(
            entry=entry.entry,
            at=values.rfc3339(entry.at_us) or "",
            actor=entry.actor,
            via=entry.via,
            action=entry.action,
            data=json.loads(entry.data),
            before=entry.before,
            hash=entry.hash,
        )
        for entry in view.history
    ]
    following = [status.value for status in view.next]
    return shapes.CaseWhole(**_fields(parts, view.case), history=history, broken_at=view.broken_at, next=following)


def _fields(parts: Site, case: Case) -> dict[str, Any]:
    same = ("number", "kind", "subject", "transaction", "related", "site", "agent", "terminal", "amount", "currency")
    more = ("status", "reason", "owner", "settled_as", "entries")
    return {name: getattr(case, name) for name in (*same, *more)} | {
        "due": values.rfc3339(case.due_us),
        "overdue": case.overdue(parts.now_us),
        "opened_at": values.rfc3339(case.opened_us),
        "updated_at": values.rfc3339(case.updated_us),
        "closed_at": values.rfc3339(case.closed_us),
        "settled_at": values.rfc3339(case.settled_us),
    }
