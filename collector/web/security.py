"""The seams of access for every page and API handler, and the headers every answer carries.

For handlers:

    user: Annotated[User, Depends(require(Permission.READ))]    the user, or 401/403 (a page: sent to the log-in)
    current_user(request)                the user or None, where nobody is fine too
    csrf(request)                        the token for a hidden field `csrf`, or for htmx (hx-headers) as X-CSRF-Token

`guard` runs before every handler (create_app installs it for the whole application), so no form can be forgotten: each
POST, PUT, PATCH and DELETE that comes with a cookie, or with nobody's name, must carry the token in the header
`X-CSRF-Token` or the form field `csrf`. Requests with a bearer token need none: no browser sends one by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.phrase import phrase
from collector.access.people import User, Via
from collector.access.roles import Permission
from collector.access.secrets import derived, new_secret, same
from collector.web.context import Site, site_of
from collector.web.problems import Problem, not_logged_in
from collector.web.settings import is_loopback

SESSION_COOKIE = "tillwatch_session"
VISIT_COOKIE = "tillwatch_visit"  # who has no session: what the CSRF token of the log-in form is derived from
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


async def guard(request: Request) -> None:
    """Find out who asks, and refuse writes that a foreign page made the browser send."""
    site = site_of(request)
    request.state.user = await run_in_threadpool(_identify, request, site)
    if request.method in _SAFE:
        return
    user = request.state.user
    if user is not None and user.via is Via.TOKEN:
        return
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Problem(HTTPStatus.FORBIDDEN, phrase("web.csrf"))
    secret = _cookie_secret(request)
    given = await _given_token(request)
    if secret is None or given is None or not same(given, derived(secret, "csrf")):
        raise Problem(HTTPStatus.FORBIDDEN, phrase("web.csrf"))


def current_user(request: Request) -> User | None:
    """Who asks; None when nobody logged in."""
    user: User | None = getattr(request.state, "user", None)
    return user


def require(permission: Permission) -> Callable[[Request], User]:
    """A dependency: the user, when there is one and the permission is held."""

    def user_who_may(request: Request) -> User:
        user = current_user(request)
        if user is None:
            raise not_logged_in()
        if not user.may(permission):
            raise Problem(HTTPStatus.FORBIDDEN, phrase("web.not_allowed"))
        return user

    return user_who_may


#: a handler's parameter for the common case: anybody who may look
Reader = Annotated[User, Depends(require(Permission.READ))]


def csrf(request: Request) -> str:
    """The token for this browser's forms; a browser without any cookie of ours is given one."""
    secret = _cookie_secret(request)
    if secret is None:
        secret = request.state.new_visit = new_secret()
    return derived(secret, "csrf")


def still_welcome(request: Request) -> bool:
    """Whether who opened a long stream may still look: not logged out, not disabled, token not revoked.

    Does not count as a sign of life: an open page alone keeps no session.
    """
    user, access = current_user(request), site_of(request).access
    if user is None or user.via is Via.GUEST:
        return user is not None
    _, _, bearer = request.headers.get("authorization", "").partition(" ")
    if user.via is Via.TOKEN:
        return access.user_of_token(bearer.strip(), address=user.address) is not None
    return access.user_of_session(request.cookies.get(SESSION_COOKIE, ""), address=user.address, seen=False) is not None


def browser_secret(request: Request) -> str:
    """What only this browser has: what is derived from it is bound to it. Empty when it has no cookie of ours."""
    return _cookie_secret(request) or ""


def address_of(request: Request) -> str:
    """The address of whoever asks, as the server sees it (uvicorn reads X-Forwarded-For of trusted proxies only)."""
    return request.client.host if request.client else "-"


def _identify(request: Request, site: Site) -> User | None:
    address = address_of(request)
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        # A bad token is refused, not overlooked: with a guest's rights its owner would wonder what is missing.
        user = site.access.user_of_token(secret.strip(), address=address)
        if user is None:
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                phrase("web.bad_token"),
                {"WWW-Authenticate": 'Bearer realm="tillwatch", error="invalid_token"'},
            )
        return user
    if cookie := request.cookies.get(SESSION_COOKIE):
        user = site.access.user_of_session(cookie, address=address)
        if user is not None:
            return user
    return _guest(request, site, address)


def _guest(request: Request, site: Site, address: str) -> User | None:
    guest = site.settings.guest
    # The name in the URL is looked at too: a foreign page whose name was made to point at 127.0.0.1 is no guest.
    if guest is None or not is_loopback(address) or not is_loopback(request.url.hostname or ""):
        return None
    if "x-forwarded-for" in request.headers or "forwarded" in request.headers:
        return None
    return User(name="guest", display="guest", role=guest, via=Via.GUEST, address=address)


def _cookie_secret(request: Request) -> str | None:
    made: str | None = getattr(request.state, "new_visit", None)
    return made or request.cookies.get(SESSION_COOKIE) or request.cookies.get(VISIT_COOKIE)


async def _given_token(request: Request) -> str | None:
    if given := request.headers.get("x-csrf-token"):
        return given
    if not request.headers.get("content-type", "").startswith(_FORMS):
        return None
    field = (await request.form()).get("csrf")
    return field if isinstance(field, str) else None


class Headers:
    """ASGI middleware: the security headers on every answer, and the visit cookie where a form needed one."""

    def __init__(self, app: ASGIApp, https: bool) -> None:
        self._app = app
        self._https = https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; add headers to what comes back."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if self._https:
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
                if not scope["path"].startswith("/static/"):
                    headers.setdefault("Cache-Control", "no-store")
                if visit := state.get("new_visit"):
                    secure = "; Secure" if self._https else ""
                    headers.append(
                        "Set-Cookie", f"{VISIT_COOKIE}={visit}; Path=/; HttpOnly; SameSite=Lax; Max-Age=86400{secure}"
                    )
            await send(message)

        await self._app(scope, receive, dressed)
