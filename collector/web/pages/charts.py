"""What the charts draw, as JSON: `{"x": [seconds, …], "series": [{"label", "ink", "kind", "values"}]}`.

`x` is the local clock (Shown.axis): charts show the zone of the pages, whatever the browser's is.
"""

from __future__ import annotations

from fastapi import APIRouter, Request

from collector.ledger import views_fleet, views_overview
from collector.web.context import site_of
from collector.web.pages.draw import shown_of
from collector.web.pages.fleet import DAY_US
from collector.web.security import Reader

router = APIRouter(prefix="/charts", include_in_schema=False)
_HOUR_US = 3600 * 1_000_000
_S = 1_000_000


@router.get("/minutes")
def minutes(request: Request, _user: Reader) -> dict[str, object]:
    """Payments a minute in the last hour; the present minute is not over and not shown."""
    site, show = site_of(request), shown_of(request)
    say = show.texts.say
    end = site.now_us // views_overview.MINUTE_US * views_overview.MINUTE_US
    with site.ledger.read() as connection:
        rows = views_overview.per_minute(connection, end - _HOUR_US, end + views_overview.MINUTE_US)
    if not any(total for _, total, _ in rows):
        return {"x": [], "series": []}
    series = [
        {"label": say("page.chart_all"), "ink": "plain", "kind": "bars", "values": [total for _, total, _ in rows]},
        {"label": say("page.chart_failed"), "ink": "bad", "kind": "bars", "values": [failed for *_, failed in rows]},
    ]
    return {"x": [show.axis(second * _S) for second, *_ in rows], "series": series}


@router.get("/answers/{agent}/{terminal}")
def answers(request: Request, agent: str, terminal: str, _user: Reader) -> dict[str, object]:
    """How long the terminal took for each payment, in seconds."""
    site, show = site_of(request), shown_of(request)
    with site.ledger.read() as connection:
        rows = views_fleet.answered(connection, agent, terminal, site.now_us - DAY_US)
    took = [(show.axis(row.started_us), round(row.took_us / _S, 2)) for row in rows if row.took_us is not None]
    line = {"label": show.texts.say("page.answer_time"), "ink": "plain", "kind": "line", "values": [y for _, y in took]}
    return {"x": [x for x, _ in took], "series": [line]}


@router.get("/metric/{agent}/{terminal}/{name}")
def metric(request: Request, agent: str, terminal: str, name: str, _user: Reader) -> dict[str, object]:
    """One of the terminal's metrics in the last day."""
    site, show = site_of(request), shown_of(request)
    with site.ledger.read() as connection:
        rows = views_fleet.series(connection, agent, terminal, site.now_us - DAY_US).get(name, [])
    factor = 100 if name.endswith("_rate") else 1  # rates are shown in percent
    values = [round(value * factor, 3) for _, value in rows]
    line = {"label": name, "ink": "plain", "kind": "line", "values": values}
    return {"x": [show.axis(us) for us, _ in rows], "series": [line]}
