"""Enrolment: one-time tokens, who has a certificate, and the fleet's configuration."""

from __future__ import annotations

import csv
import io
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from agent.enroll.token import EnrolToken
from agent.errors import TillwatchError
from collector.access.people import User
from collector.access.roles import Permission
from collector.enrol.desks import Desks
from collector.enrol.lists import read_list
from collector.errors import CollectorUsageError
from collector.ledger import enrol, fleet
from collector.web.context import site_of
from collector.web.language import texts_of
from collector.web.pages.draw import draw
from collector.web.problems import status_of
from collector.web.security import require

router = APIRouter(include_in_schema=False)
Enroller = Annotated[User, Depends(require(Permission.ENROLL))]
Admin = Annotated[User, Depends(require(Permission.MANAGE_ACCESS))]
Text = Annotated[str, Form(max_length=64)]
Long = Annotated[str, Form(max_length=8 << 20)]
_OPEN = 200  # open tokens shown
_VERSIONS = 10


@router.get("/enrolment")
def enrolment(request: Request, _user: Enroller) -> Response:
    """Everything there is."""
    return _page(request)


@router.post("/enrolment/tokens")
def new_token(request: Request, user: Enroller, agent: Text, site: Text) -> Response:
    """One token, shown once."""
    try:
        (token,) = desks_of(request).enrol.new_tokens(user, [(agent.strip(), site.strip())])
    except TillwatchError as error:
        return _page(request, bad=error)
    return _page(request, made=token)


@router.post("/enrolment/tokens/list")
def new_tokens(request: Request, user: Enroller, agents: Long) -> Response:
    """Many at once: the list comes back as a file, with a column more."""
    try:
        name = texts_of(request).say("enrol.page_the_list")
        tokens = desks_of(request).enrol.new_tokens(user, read_list(agents, name))
    except TillwatchError as error:
        return _page(request, bad=error)
    headers = {"Content-Disposition": 'attachment; filename="tillwatch-tokens.csv"'}
    return Response(as_csv(tokens), headers=headers, media_type="text/csv; charset=utf-8")


@router.post("/enrolment/agents/{agent}/revoke")
def revoke(request: Request, user: Enroller, agent: str) -> Response:
    """Take an identity back."""
    try:
        desks_of(request).enrol.revoke(user, agent)
    except TillwatchError as error:
        return _page(request, bad=error)
    return RedirectResponse("/enrolment", 303)


@router.post("/enrolment/fleet")
def publish(request: Request, user: Admin, document: Long) -> Response:
    """Sign and publish the next version."""
    try:
        desks_of(request).fleet.publish_text(user, document.replace("\r\n", "\n"))
    except TillwatchError as error:
        return _page(request, bad=error, typed=document)
    return RedirectResponse("/enrolment", 303)


def desks_of(request: Request) -> Desks:
    """Enrolment, where this collector does it. Raises CollectorUsageError."""
    found = site_of(request).enrolment
    if found is None:
        raise CollectorUsageError("enrol.not_configured")
    return found


def as_csv(tokens: list[EnrolToken]) -> str:
    """agent,site,token."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("agent", "site", "token"))
    writer.writerows((token.agent, token.site, str(token)) for token in tokens)
    return out.getvalue()


def _page(
    request: Request, *, bad: TillwatchError | None = None, made: EnrolToken | None = None, typed: str | None = None
) -> Response:
    site = site_of(request)
    with site.ledger.read() as connection:
        tokens = enrol.open_tokens(connection, site.now_us)
        versions = fleet.versions(connection, _VERSIONS)
        values = {
            "tokens": tokens[:_OPEN],
            "token_count": len(tokens),
            "certificates": enrol.newest_of_agents(connection),
            "standings": fleet.standings(connection),
            "versions": versions,
        }
    return draw(
        request,
        "enrolment.html",
        "enrolment",
        status=status_of(bad) if bad else 200,
        configured=site.enrolment is not None,
        key_here=site.enrolment is not None and site.enrolment.fleet.key_here,
        bad=bad.text(texts_of(request)) if bad else None,
        made=made,
        typed=typed if typed is not None else versions[0].document if versions else "",
        **values,
    )
