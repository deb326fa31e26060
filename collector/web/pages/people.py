"""Who may come in: accounts and invitations, bearer tokens; and the audit log, for operations too."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from agent.errors import TillwatchError
from collector.access.access import Access
from collector.access.people import User
from collector.access.roles import Permission, Role
from collector.ledger import audit
from collector.web.context import site_of
from collector.web.language import texts_of
from collector.web.pages.draw import draw
from collector.web.problems import status_of
from collector.web.security import require
from collector.web.values import word

router = APIRouter(include_in_schema=False)
Admin = Annotated[User, Depends(require(Permission.MANAGE_ACCESS))]
Auditor = Annotated[User, Depends(require(Permission.SEE_AUDIT))]
Text = Annotated[str, Form(max_length=256)]
_AUDIT_ROWS = 100
_DAY_S = 86_400


@router.get("/accounts")
def accounts(request: Request, _user: Admin) -> Response:
    """Everybody, and the form that invites one more."""
    return _accounts(request)


@router.post("/accounts")
def invite(request: Request, user: Admin, name: Text, role: Text, display: Text = "") -> Response:
    """Invite somebody; the link is shown once."""
    access = site_of(request).access
    try:
        secret = access.invite(user, name, _role(role), display)
    except TillwatchError as error:
        return _accounts(request, bad=error, typed={"name": name, "display": display, "role": role})
    return _accounts(request, link=_link(request, secret), invited=name)


@router.post("/accounts/{account}/invite")
def invite_again(request: Request, user: Admin, account: str) -> Response:
    """A new link; the former one, password and sessions are void."""
    access = site_of(request).access
    secret = access.invite_again(user, account)
    return _accounts(request, link=_link(request, secret), invited=_name_of(access, account))


@router.post("/accounts/{account}/role")
def set_role(request: Request, user: Admin, account: str, role: Text) -> Response:
    """Another role."""
    try:
        site_of(request).access.set_role(user, account, _role(role))
    except TillwatchError as error:
        return _accounts(request, bad=error)
    return RedirectResponse("/accounts", 303)


@router.post("/accounts/{account}/disabled")
def set_disabled(request: Request, user: Admin, account: str, disabled: Text) -> Response:
    """Shut out, or let in again."""
    try:
        site_of(request).access.set_disabled(user, account, disabled == "yes")
    except TillwatchError as error:
        return _accounts(request, bad=error)
    return RedirectResponse("/accounts", 303)


@router.get("/tokens")
def tokens(request: Request, _user: Admin) -> Response:
    """Bearer tokens of programs."""
    return _tokens(request)


@router.post("/tokens")
def new_token(request: Request, user: Admin, name: Text, role: Text, days: Text = "") -> Response:
    """Make one; it is shown once."""
    valid_s = int(days) * _DAY_S if days.isdecimal() and 0 < int(days) <= 3650 else None
    try:
        _, secret = site_of(request).access.new_token(user, name, _role(role), valid_s=valid_s)
    except TillwatchError as error:
        return _tokens(request, bad=error)
    return _tokens(request, secret=secret, made=name)


@router.post("/tokens/{token}/revoke")
def revoke(request: Request, user: Admin, token: str) -> Response:
    """Take one back."""
    site_of(request).access.revoke_token(user, token)
    return RedirectResponse("/tokens", 303)


@router.get("/audit")
def audit_log(request: Request, _user: Auditor, before: int | None = None) -> Response:
    """Who did what, newest first."""
    with site_of(request).ledger.read() as connection:
        rows = audit.entries(connection, before=before, limit=_AUDIT_ROWS + 1)
    following = rows[_AUDIT_ROWS - 1].id if len(rows) > _AUDIT_ROWS else None
    return draw(request, "audit.html", "audit", rows=rows[:_AUDIT_ROWS], next=following)


def _role(text: str) -> Role:
    role = word("role", text, Role)
    assert role is not None  # noqa: S101 (a text came)
    return role


def _accounts(
    request: Request,
    *,
    bad: TillwatchError | None = None,
    link: str | None = None,
    invited: str = "",
    typed: dict[str, str] | None = None,
) -> Response:
    return draw(
        request,
        "accounts.html",
        "people",
        status=status_of(bad) if bad else 200,
        accounts=site_of(request).access.accounts(),
        roles=list(Role),
        bad=bad.text(texts_of(request)) if bad else None,
        link=link,
        invited=invited,
        typed=typed or {},
    )


def _tokens(
    request: Request, *, bad: TillwatchError | None = None, secret: str | None = None, made: str = ""
) -> Response:
    return draw(
        request,
        "tokens.html",
        "tokens",
        status=status_of(bad) if bad else 200,
        tokens=site_of(request).access.tokens(),
        roles=list(Role),
        bad=bad.text(texts_of(request)) if bad else None,
        secret=secret,
        made=made,
    )


def _link(request: Request, secret: str) -> str:
    base = site_of(request).settings.public_url or str(request.base_url).rstrip("/")
    return f"{base}/invitation/{secret}"


def _name_of(access: Access, account_id: str) -> str:
    return next((account.name for account in access.accounts() if account.id == account_id), "")
