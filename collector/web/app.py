"""Composition of the web side: services, guard, routers, pages, in that order. The one place where they are joined.

    app = create_app(ledger, WebSettings(hospital="…"), hub, pages=collector.web.pages.ROUTERS)

What pages need is in security.py (`require`, `current_user`, `csrf`), context.py (`site_of`), language.py (`texts_of`)
and problems.py (raise `Problem`, or any TillwatchError).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from starlette.staticfiles import StaticFiles

from agent import __version__
from collector.access.access import Access
from collector.ledger import Clock, Ledger
from collector.web import api_health, auth, problems, security
from collector.web.context import Site
from collector.web.problems import ErrorPage
from collector.web.settings import WebSettings

_STATIC = Path(__file__).parent / "static"


def create_app(
    ledger: Ledger,
    settings: WebSettings,
    hub: Any = None,
    *,
    clock: Clock | None = None,
    access: Access | None = None,
    pages: Iterable[APIRouter] = (),
    error_page: ErrorPage | None = None,
) -> FastAPI:
    """The application. `clock`: the ledger's when none is given; `error_page` draws refusals for people."""
    clock = clock or ledger.clock
    app = FastAPI(
        title="tillwatch collector",
        version=__version__,
        docs_url=None,  # both would load scripts from elsewhere; docs/api.md and /openapi.json are the reference
        redoc_url=None,
        dependencies=[Depends(security.guard)],
    )
    app.state.site = Site(
        ledger=ledger, settings=settings, clock=clock, access=access or Access(ledger, clock), hub=hub
    )
    problems.install(app, error_page)
    app.add_middleware(security.Headers, https=settings.https)
    for router in (api_health.router, auth.router, *pages):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    return app
