"""Draws the forms of access (templates/access/): they stand alone, for who fills them in is not logged in yet."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse

from agent import __version__
from collector.web.context import site_of
from collector.web.language import texts_of
from collector.web.security import csrf

_FOLDER = Path(__file__).parent / "templates"


@cache
def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(_FOLDER)
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)


def form_page(
    request: Request,
    form: str,
    *,
    status: int = 200,
    problem: str | None = None,
    headers: dict[str, str] | None = None,
    **values: object,
) -> HTMLResponse:
    """One of the forms, with the line that says why it was refused."""
    site, texts = site_of(request), texts_of(request)
    page = (
        _environment()
        .get_template(f"access/{form}.html")
        .render(
            texts=texts,
            say=texts.say,
            language=texts.language,
            csrf=csrf(request),
            hospital=site.settings.hospital,
            oidc=site.settings.oidc,
            problem=problem,
            path=request.url.path,
            version=__version__,
            **{"name": "", **values},
        )
    )
    return HTMLResponse(page, status, headers)
