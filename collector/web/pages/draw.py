"""Draws templates: what every page has (language, navigation, counts, who is here), and the page of a refusal.

Handlers call `draw(request, "overview.html", "overview", …)`. Templates escape everything; scripts and styles come
from /static only, as the content security policy demands.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy.exc import SQLAlchemyError

from agent import __version__
from collector.access.roles import Permission
from collector.ledger import cases, views_payments
from collector.texts import Texts
from collector.web.context import Site, site_of
from collector.web.language import texts_of
from collector.web.pages.shown import Shown
from collector.web.security import csrf, current_user

STATIC = Path(__file__).parents[1] / "static"
_TEMPLATES = Path(__file__).parents[1] / "templates"


def shown_of(request: Request) -> Shown:
    """The formats for this request."""
    site = site_of(request)
    return Shown(texts_of(request), _zone(site), site.now_us)


def draw(request: Request, template: str, here: str, status: int = 200, **values: Any) -> Response:
    """The page as an answer. `here`: the entry of the navigation that is marked."""
    texts = texts_of(request)
    page = _environment().get_template(template)
    return HTMLResponse(page.render(_common(request, texts, here) | values), status)


def error_page(request: Request, status: int, line: str) -> Response:
    """The page of a refusal: what was refused, and a way on."""
    return draw(request, "problem.html", "", status, code=status, line=line)


def wall(request: Request) -> bool:
    """Whether the page is for a screen on the wall."""
    return request.query_params.get("wall") == "1"


def _common(request: Request, texts: Texts, here: str) -> dict[str, Any]:
    site, user = site_of(request), current_user(request)
    shown = shown_of(request)

    def may(name: str) -> bool:
        return user is not None and user.may(Permission(name))

    return {
        "texts": texts,
        "say": texts.say,
        "language": texts.language,
        "show": shown,
        "here": here,
        "user": user,
        "may": may,
        "csrf": csrf(request),
        "wall": wall(request),
        "path": request.url.path,
        "query": dict(request.query_params),
        "with_query": _with_query(request),
        "static": static_url,
        "version": __version__,
        "hospital": site.settings.hospital,
        "counts": _counts(site) if user is not None else {},
        "query_text": request.query_params.get("q", "") if request.url.path == "/search" else "",
    }


def _counts(site: Site) -> dict[str, int]:
    """The numbers in the navigation; none when the database is away: the page that says so must still appear."""
    try:
        with site.ledger.read() as connection:
            doubts = views_payments.count_doubts(connection, site.now_us)
            return {"doubts": doubts, "cases": cases.count(connection, cases.Wanted(open=True))}
    except SQLAlchemyError:
        return {}


def _with_query(request: Request) -> Callable[..., str]:
    """This page's address with some parameters changed; None drops one."""

    def changed(**values: object) -> str:
        query = dict(request.query_params) | {name: str(value) for name, value in values.items() if value is not None}
        for name, value in values.items():
            if value is None:
                query.pop(name, None)
        return request.url.path + (f"?{urlencode(query)}" if query else "")

    return changed


@cache
def static_url(name: str) -> str:
    """The address of a file below static/, with a mark of its content: it may be kept until the next version."""
    return f"/static/{name}?{sha256((STATIC / name).read_bytes()).hexdigest()[:8]}"


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _zone(site: Site) -> tzinfo | None:
    """The zone that pages show: the configured one; None is that of this machine, with its summer times."""
    return ZoneInfo(site.settings.timezone) if site.settings.timezone else None
