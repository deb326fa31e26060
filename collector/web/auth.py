"""Logging in and out, invitations, the first administrator, one's own password and language; OIDC at the end.

The forms are templates/access/*.html; each posts back to the address it came from. A refused form is shown again with
one line that says why, and the status that says the same.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from agent.errors import TillwatchError
from agent.phrase import phrase
from collector.access.doors import LoggedIn
from collector.access.errors import BadCredentialsError, LinkError, NotAllowedError, TooManyAttemptsError
from collector.access.oidc import Provider
from collector.access.people import User, Via
from collector.access.roles import Permission
from collector.texts import LANGUAGES
from collector.web.context import site_of
from collector.web.forms import form_page
from collector.web.language import COOKIE as LANGUAGE_COOKIE
from collector.web.language import texts_of
from collector.web.problems import BadValueError, Problem, status_of
from collector.web.security import (
    SESSION_COOKIE,
    VISIT_COOKIE,
    address_of,
    browser_secret,
    csrf,
    current_user,
    require,
)

router = APIRouter(include_in_schema=False)
_REFUSALS = (BadCredentialsError, TooManyAttemptsError, LinkError, NotAllowedError)

Text = Annotated[str, Form(max_length=1024)]
Anybody = Annotated[User, Depends(require(Permission.READ))]


@router.get("/login")
def login_form(request: Request, next: str = "/") -> Response:
    """The log-in form; who is in already goes on."""
    user = current_user(request)
    if user is not None and user.via is Via.SESSION:
        return _go(next)
    return form_page(request, "login", next=_inside(next))


@router.post("/login")
def log_in(request: Request, name: Text, password: Text, next: Text = "/") -> Response:
    """Make a session, or show the form again."""
    site = site_of(request)
    try:
        entered = site.access.log_in(name, password, address=address_of(request), browser=_browser(request))
    except _REFUSALS as error:
        return _again(request, "login", error, next=_inside(next), name=name)
    return _enter(request, entered, next)


@router.get("/login/oidc")
def begin_sign_in(request: Request, next: str = "/") -> Response:
    """Send the browser to the OpenID provider. No form: our own policy would not let one end at another site."""
    provider = _provider(request)
    csrf(request)  # a browser without any cookie of ours gets one: what is under way is bound to it
    started = provider.start(browser_secret(request), _return_address(request), _inside(next))
    return RedirectResponse(started.url, HTTPStatus.SEE_OTHER)


@router.get("/login/oidc/return")
def end_sign_in(request: Request, state: str = "", code: str = "", error: str = "") -> Response:
    """The browser comes back from the provider."""
    provider = _provider(request)
    address, browser = address_of(request), _browser(request)
    try:
        if error or not code or not state:
            raise provider.refused(error or "code")
        entered, goal = provider.finish(browser_secret(request), state, code, address=address, browser=browser)
    except TillwatchError as refusal:
        return _again(request, "login", refusal, next="/")
    return _enter(request, entered, goal)


@router.post("/logout")
def log_out(request: Request) -> Response:
    """End the session."""
    if secret := request.cookies.get(SESSION_COOKIE):
        site_of(request).access.log_out(secret, address=address_of(request))
    response = _go("/login")
    response.delete_cookie(SESSION_COOKIE, path="/")
    return response


@router.get("/first/{secret}")
def first_form(request: Request, secret: str) -> Response:
    """The form of the first administrator; its address was printed on the console."""
    site_of(request).access.check_first_admin(secret)
    return form_page(request, "first")


@router.post("/first/{secret}")
def first(request: Request, secret: str, name: Text, password: Text, repeat: Text) -> Response:
    """Make the first administrator."""
    if password != repeat:
        return _again(request, "first", NotAllowedError("access.passwords_differ"), name=name)
    try:
        entered = site_of(request).access.become_first_admin(
            secret, name, password, address=address_of(request), browser=_browser(request)
        )
    except _REFUSALS as error:
        return _again(request, "first", error, name=name)
    return _enter(request, entered, "/")


@router.get("/invitation/{secret}")
def invitation_form(request: Request, secret: str) -> Response:
    """The form that sets the first password."""
    account = site_of(request).access.invited(secret)
    return form_page(request, "invitation", name=account.name, display=account.display)


@router.post("/invitation/{secret}")
def accept_invitation(request: Request, secret: str, password: Text, repeat: Text) -> Response:
    """Set the first password and log in."""
    access = site_of(request).access
    account = access.invited(secret)
    shown = {"name": account.name, "display": account.display}
    if password != repeat:
        return _again(request, "invitation", NotAllowedError("access.passwords_differ"), **shown)
    try:
        entered = access.accept(secret, password, address=address_of(request), browser=_browser(request))
    except _REFUSALS as error:
        return _again(request, "invitation", error, **shown)
    return _enter(request, entered, "/")


@router.get("/password")
def password_form(request: Request, user: Anybody) -> Response:
    """The form for a new password."""
    return form_page(request, "password", name=user.name)


@router.post("/password")
def change_password(request: Request, user: Anybody, old: Text, password: Text, repeat: Text) -> Response:
    """Set a new password; all sessions end, so one logs in with it."""
    if password != repeat:
        return _again(request, "password", NotAllowedError("access.passwords_differ"), name=user.name)
    try:
        site_of(request).access.change_password(user, old, password)
    except _REFUSALS as error:
        return _again(request, "password", error, name=user.name)
    return _go("/login")


@router.post("/language")
def choose_language(request: Request, language: Text, next: Text = "/") -> Response:
    """The language of this browser, and of the account where somebody is logged in."""
    if language not in LANGUAGES:
        raise BadValueError("language", phrase("web.one_of", accepted=", ".join(LANGUAGES)))
    user = current_user(request)
    if user is not None:
        site_of(request).access.set_language(user, language)
    response = _go(next)
    https = site_of(request).settings.https
    response.set_cookie(LANGUAGE_COOKIE, language, max_age=365 * 86400, samesite="lax", secure=https, httponly=True)
    return response


def _enter(request: Request, entered: LoggedIn, goal: str) -> Response:
    site = site_of(request)
    response = _go(goal)
    response.set_cookie(
        SESSION_COOKIE,
        entered.secret,
        max_age=site.access.lifetimes.absolute_s,
        path="/",
        httponly=True,
        samesite="lax",  # strict would drop it on the way back from an OIDC provider
        secure=site.settings.https,
    )
    response.delete_cookie(VISIT_COOKIE, path="/")
    return response


def _again(request: Request, form: str, error: TillwatchError, **values: object) -> Response:
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, TooManyAttemptsError) else None
    line = error.text(texts_of(request))
    return form_page(request, form, status=status_of(error), problem=line, headers=headers, **values)


def _provider(request: Request) -> Provider:
    provider = site_of(request).oidc
    if provider is None:
        raise Problem(HTTPStatus.NOT_FOUND, phrase("web.status_404"))
    return provider


def _return_address(request: Request) -> str:
    base = site_of(request).settings.public_url or str(request.base_url).rstrip("/")
    return f"{base}/login/oidc/return"


def _go(goal: str) -> Response:
    return RedirectResponse(_inside(goal), HTTPStatus.SEE_OTHER)


def _inside(goal: str) -> str:
    """The goal when it is a path of ours; never another site's address."""
    inside = goal.startswith("/") and not goal.startswith(("//", "/\\")) and goal.isprintable() and "\\" not in goal
    return goal if inside else "/"


def _browser(request: Request) -> str:
    return request.headers.get("user-agent", "-")
