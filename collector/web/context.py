"""What handlers share: the ledger and the services on it. One per application, at `app.state.site`."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from collector.access.access import Access
from collector.access.oidc import Provider
from collector.cases.desk import Desk
from collector.enrol.desks import Desks
from collector.hub import Hub
from collector.ledger import Clock, Ledger, microseconds
from collector.web.live import Live
from collector.web.metrics import Metrics
from collector.web.settings import WebSettings


@dataclass(frozen=True, slots=True)
class Site:
    """The parts a handler may use. `clock` gives aware datetimes; nothing in collector.web asks the time otherwise."""

    ledger: Ledger
    settings: WebSettings
    clock: Clock
    access: Access
    desk: Desk
    hub: Hub
    live: Live
    metrics: Metrics
    oidc: Provider | None = None
    enrolment: Desks | None = None

    @property
    def now_us(self) -> int:
        """Now, in microseconds UTC."""
        return microseconds(self.clock())


def site_of(request: Request) -> Site:
    """The application's parts."""
    site: Site = request.app.state.site
    return site
