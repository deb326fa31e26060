"""Composition of the web side: services, guard, routers, pages, in that order. The one place where they are joined.

    app = create_app(ledger, WebSettings(hospital="…"), hub, pages=collector.web.pages.ROUTERS)

What pages need is in security.py (`require`, `current_user`, `csrf`), context.py (`site_of`), language.py (`texts_of`)
and problems.py (raise `Problem`, or any TillwatchError).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI
from starlette.staticfiles import StaticFiles

from agent import __version__
from collector.access.access import Access
from collector.access.oidc import Provider
from collector.cases.desk import Desk
from collector.enrol.desks import Desks
from collector.hub import Hub
from collector.ingest.ingest import Health
from collector.ledger import Clock, Ledger
from collector.web import api, api_cases, api_enrol, api_health, api_metrics, api_papers, auth, problems, security, sse
from collector.web.context import Site
from collector.web.live import Live
from collector.web.metrics import Metrics
from collector.web.openapi import describe
from collector.web.problems import ErrorPage
from collector.web.settings import WebSettings

_ROUTERS = tuple(part.router for part in (api_health, api, api_cases, api_enrol, api_papers, sse, api_metrics, auth))
_STATIC = Path(__file__).parent / "static"


@asynccontextmanager
async def _reading(app: FastAPI) -> AsyncIterator[None]:
    """The reader of the live streams runs, and what comes in is counted, while the application does."""
    with app.state.site.live, app.state.site.metrics:
        yield


def stop_streams(app: FastAPI) -> None:
    """End the live streams: before the server is told to stop, because it waits for all answers to end."""
    app.state.site.live.stop()


def create_app(
    ledger: Ledger,
    settings: WebSettings,
    hub: Hub | None = None,
    *,
    clock: Clock | None = None,
    access: Access | None = None,
    pages: Iterable[APIRouter] = (),
    error_page: ErrorPage | None = None,
    ingest: Callable[[], Health] | None = None,
    enrolment: Desks | None = None,
) -> FastAPI:
    """The application. `clock`: the ledger's when none is given; `error_page` draws refusals for people.

    `ingest` tells how taking in goes (`Ingest.health`), where this process does; `enrolment` where it is configured.
    """
    clock, hub = clock or ledger.clock, hub or Hub()
    app = FastAPI(
        title="tillwatch collector",
        version=__version__,
        docs_url=None,  # both would load scripts from elsewhere; docs/api.md and /openapi.json are the reference
        redoc_url=None,
        dependencies=[Depends(security.guard)],
        lifespan=_reading,
    )
    access = access or Access(ledger, clock)
    live = Live(ledger, hub, clock)
    metrics = Metrics(ledger, hub, clock, settings.stale_s)
    metrics.streams = lambda: live.listeners
    metrics.ingest = ingest
    app.state.site = Site(
        ledger=ledger,
        settings=settings,
        clock=clock,
        access=access,
        desk=Desk(ledger, clock),
        hub=hub,
        live=live,
        metrics=metrics,
        oidc=Provider(settings.oidc, ledger, access, clock) if settings.oidc else None,
        enrolment=enrolment,
    )
    describe(app)
    problems.install(app, error_page)
    app.add_middleware(security.Headers, https=settings.https)
    for router in (*_ROUTERS, *pages):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    return app
