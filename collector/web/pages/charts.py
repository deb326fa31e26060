"""What the charts draw, as JSON: `{"x": [seconds, …], "series": [{"label", "ink", "kind", "values"}]}`."""

from __future__ import annotations

from fastapi import APIRouter, Request

from collector.ledger import views_fleet, views_overview
from collector.web.context import site_of
from collector.web.language import texts_of
from collector.web.pages.fleet import DAY_US
from collector.web.security import Reader

router = APIRouter(prefix="/charts", include_in_schema=False)
_HOUR_US = 3600 * 1_000_000
_S = 1_000_000


@router.get("/minutes")
def minutes(request: Request, _user: Reader) -> dict[str, object]:
    """Payments a minute in the last hour; the present minute is not over and not shown."""
    site, say = site_of(request), texts_of(request).say
    end = site.now_us // views_overview.MINUTE_US * views_overview.MINUTE_US
    with site.ledger.read() as connection:
        rows = views_overview.per_minute(connection, end - _HOUR_US, end + views_overview.MINUTE_US)
    if not any(total for _, total, _ in rows):
        return {"x": [], "series": []}
    series = [
        {"label": say("page.chart_all"), "ink": "plain", "kind": "bars", "values": [total for _, total, _ in rows]},
        {"label": say("page.chart_failed"), "ink": "bad", "kind": "bars", "values": [failed for *_, failed in rows]},
    ]
    return {"x": [second for second, *_ in rows], "series": series}


@router.get("/answers/{agent}/{terminal}")
def answers(request: Request, agent: str, terminal: str, _user: Reader) -> dict[str, object]:
    """How long the terminal took for each payment, in seconds."""
    site, say = site_of(request), texts_of(request).say
    with site.ledger.read() as connection:
        rows = views_fleet.answered(connection, agent, terminal, site.now_us - DAY_US)
    took = [(row.started_us // _S, round(row.took_us / _S, 2)) for row in rows if row.took_us is not None]
    line = {"label": say("page.answer_time"), "ink": "plain", "kind": "line", "values": [y for _, y in took]}
    return {"x": [x for x, _ in took], "series": [line]}


@router.get("/metric/{agent}/{terminal}/{name}")
def metric(request: Request, agent: str, terminal: str, name: str, _user: Reader) -> dict[str, object]:
    """One of the terminal's metrics in the last day."""
    site = site_of(request)
    with site.ledger.read() as connection:
        rows = views_fleet.series(connection, agent, terminal, site.now_us - DAY_US).get(name, [])
    line = {"label": name, "ink": "plain", "kind": "line", "values": [value for _, value in rows]}
    return {"x": [us // _S for us, _ in rows], "series": [line]}
