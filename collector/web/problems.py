"""What is answered when something is refused: problem JSON (RFC 9457) for programs, a page for people.

A handler raises one of these, or any TillwatchError; nothing else is caught, so a defect is a 500 with a number that
stands in the log beside the traceback, and no word of the inside.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from html import escape
from http import HTTPStatus
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from agent.errors import NothingFoundError, TillwatchError, UnreachableError, UsageError
from agent.log import logger
from agent.phrase import Phrase, phrase
from collector.access.errors import BadCredentialsError, TooManyAttemptsError
from collector.texts import Texts
from collector.web.language import texts_of

#: draws the page of a problem: request, status, one line
ErrorPage = Callable[[Request, int, str], Response]

_log = logger(part="web")


class Problem(Exception):  # noqa: N818 (RFC 9457 calls it so)
    """A refusal with its HTTP status and its text."""

    def __init__(self, status: int, what: Phrase, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, what.key)
        self.status = status
        self.what = what
        self.headers = headers or {}


class BadValueError(Problem):
    """A parameter that can't be used: which one, what it was, what is accepted."""

    def __init__(self, name: str, what: Phrase) -> None:
        super().__init__(HTTPStatus.BAD_REQUEST, phrase("web.bad_value", name=name, what=what))


def not_logged_in() -> Problem:
    """Nobody in particular asked; people are sent to the log-in page."""
    return Problem(HTTPStatus.UNAUTHORIZED, phrase("web.log_in"), {"WWW-Authenticate": 'Bearer realm="tillwatch"'})


def wants_json(request: Request) -> bool:
    """Whether a program asks: everything below /api, and whoever does not accept HTML."""
    path = request.url.path
    return path.startswith("/api/") or path in ("/metrics", "/openapi.json") or "text/html" not in _accept(request)


def install(app: FastAPI, page: ErrorPage | None = None) -> None:
    """Register the handlers. `page` draws what people see; without it a plain page is shown."""
    draw = page or plain_page

    def answer(request: Request, status: int, what: Phrase | str, headers: dict[str, str] | None = None) -> Response:
        line = what if isinstance(what, str) else what.say(texts_of(request))
        if wants_json(request):
            response: Response = problem_json(status, line)
        elif status == HTTPStatus.UNAUTHORIZED and request.method == "GET" and "hx-request" not in request.headers:
            asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            response = RedirectResponse(f"/login?next={quote(asked, safe='/')}", HTTPStatus.SEE_OTHER)
        else:
            response = draw(request, status, line)
        for name, value in (headers or {}).items():
            response.headers[name] = value
        return response

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> Response:
        return answer(request, error.status, error.what, error.headers)

    @app.exception_handler(TillwatchError)
    async def known(request: Request, error: TillwatchError) -> Response:
        headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, TooManyAttemptsError) else {}
        return answer(request, status_of(error), error.text(texts_of(request)), headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return answer(request, HTTPStatus.UNPROCESSABLE_ENTITY, _first(error, texts_of(request)))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        key = f"web.status_{error.status_code}"
        texts = texts_of(request)
        line = texts.say(key) if texts.has(key) else str(error.detail)
        return answer(request, error.status_code, line, dict(error.headers or {}))

    @app.exception_handler(DBAPIError)
    @app.exception_handler(PoolTimeoutError)
    @app.exception_handler(OverflowError)
    async def database(request: Request, error: Exception) -> Response:
        if isinstance(error, DataError | OverflowError):  # NUL in a text, a number beyond 64 bits: nothing is called so
            return answer(request, HTTPStatus.BAD_REQUEST, phrase("web.impossible_value"))
        if isinstance(error, OperationalError | InterfaceError | PoolTimeoutError):
            _log.warning(
                "web.database_away", path=request.url.path, reason=" ".join(str(error.__cause__ or error).split())
            )
            return answer(request, HTTPStatus.SERVICE_UNAVAILABLE, phrase("web.database_away"), {"Retry-After": "5"})
        return await defect(request, error)

    @app.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> Response:
        number = secrets.token_hex(4)
        _log.error("web.failed", number=number, path=request.url.path, exc_info=error)
        return answer(request, HTTPStatus.INTERNAL_SERVER_ERROR, phrase("web.defect", number=number))


def status_of(error: TillwatchError) -> int:
    """The HTTP status that says the same as the error's kind."""
    if isinstance(error, TooManyAttemptsError):
        return HTTPStatus.TOO_MANY_REQUESTS
    if isinstance(error, BadCredentialsError):
        return HTTPStatus.UNAUTHORIZED
    if isinstance(error, NothingFoundError):
        return HTTPStatus.NOT_FOUND
    if isinstance(error, UnreachableError):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.BAD_REQUEST if isinstance(error, UsageError) else HTTPStatus.CONFLICT


def problem_json(status: int, line: str) -> JSONResponse:
    """RFC 9457, with the one line for a person as `detail`."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": int(status), "detail": line}
    return JSONResponse(body, status, media_type="application/problem+json")


def plain_page(request: Request, status: int, line: str) -> Response:
    """The page where no better one is installed."""
    texts = texts_of(request)
    body = (
        f'<!DOCTYPE html><html lang="{texts.language}"><head><meta charset="utf-8"><title>{status:d}</title></head>'
        f'<body><h1>{status:d}</h1><p>{escape(line)}</p><p><a href="/">{escape(texts.say("web.to_start"))}</a></p>'
        "</body></html>"
    )
    return HTMLResponse(body, status)


def _first(error: RequestValidationError, texts: Texts) -> str:
    found = error.errors()[0]
    name = ".".join(str(part) for part in found["loc"][1:]) or str(found["loc"][0])
    return texts.say("web.bad_value", name=name, what=found["msg"])


def _accept(request: Request) -> str:
    return request.headers.get("accept", "")
