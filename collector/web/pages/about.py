"""What this is: version, language, address of the API, where help is."""

from __future__ import annotations

import platform

from fastapi import APIRouter, Request
from fastapi.responses import Response

from collector.web.context import site_of
from collector.web.pages.draw import draw
from collector.web.security import Reader

router = APIRouter(include_in_schema=False)


@router.get("/about")
def about(request: Request, _user: Reader) -> Response:
    """The page."""
    site = site_of(request)
    return draw(
        request,
        "about.html",
        "about",
        database="PostgreSQL" if site.ledger.is_postgresql else "SQLite",
        python=platform.python_version(),
        contact=site.settings.contact,
    )
