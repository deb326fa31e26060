"""The dashboard: pages drawn on the server, kept live by htmx and /api/events. One module a group of pages.

`create_app(…, pages=ROUTERS, error_page=error_page)` joins them to the rest.
"""

from __future__ import annotations

from collector.web.pages import about, books, casework, charts, enrolment, fleet, overview, payments, people, search
from collector.web.pages.draw import error_page

ROUTERS = (
    overview.router,
    payments.router,
    search.router,
    casework.router,
    fleet.router,
    enrolment.router,
    books.router,
    people.router,
    about.router,
    charts.router,
)

__all__ = ["ROUTERS", "error_page"]
