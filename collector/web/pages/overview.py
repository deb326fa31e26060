"""The first page: which payments are in doubt, where, since when, what is being done; then how the day goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from collector.alerts.words import kind_of, page_of, sentence
from collector.ledger import alerts, views_overview, views_payments
from collector.ledger.views_fleet import Cashier, cashiers
from collector.ledger.views_payments import Wanted
from collector.web.context import site_of
from collector.web.pages.caseload import cases_about
from collector.web.pages.draw import draw, shown_of, wall
from collector.web.pages.shown import Shown
from collector.web.security import Reader

router = APIRouter(include_in_schema=False)
_DOUBTS = 6
_LATEST = 8
_ALERTS = 20
DAYS_UNDELIVERED_US = 7 * 86_400 * 1_000_000
_BAR = 1000
_ORDER = ("approved", "declined", "cancelled", "reversed", "not_executed", "open", "unknown")


@dataclass(frozen=True, slots=True)
class FleetFigures:
    """How many there are, and how they are; what a silent agent told last counts as stale."""

    cashiers: int
    online: int
    stale: int
    terminals: int
    links: dict[str, int]


@dataclass(frozen=True, slots=True)
class Bar:
    """One part of the bar of the day's outcomes, in thousandths."""

    state: str
    count: int
    x: int
    width: int


@dataclass(frozen=True, slots=True)
class Notice:
    """An alert that is going on, in a sentence, and where to see more of it."""

    since_us: int
    rule: str
    text: str
    page: str | None


@router.get("/")
def overview(request: Request, _user: Reader) -> Response:
    """The overview."""
    site, show = site_of(request), shown_of(request)
    now = show.now_us
    with site.ledger.read() as connection:
        today = views_overview.day(connection, show.midnight_us())
        doubts = views_payments.doubts(connection, now, _DOUBTS * (2 if wall(request) else 1))
        values: dict[str, Any] = {
            "doubts": doubts,
            "doubt_count": views_payments.count_doubts(connection, now),
            "under_way": views_overview.under_way(connection, now),
            "undelivered_count": views_payments.count_undelivered(connection, now - DAYS_UNDELIVERED_US),
            "truth": views_overview.truth(connection, show.midnight_us()),
            "latest": views_payments.payments(connection, Wanted(), _LATEST),
            "fleet": fleet_figures(cashiers(connection), now),
            "alerts": [notice(incident, show) for incident in alerts.going_on(connection, _ALERTS)],
            "cases": cases_about(connection, [payment.id for payment in doubts]),
        }
    return draw(request, "overview.html", "overview", day=today, bars=bars(today.counts), **values)


def notice(incident: alerts.Incident, show: Shown) -> Notice:
    """The alert as people read it."""
    when = kind_of(incident)
    if when is None:
        return Notice(incident.since_us, incident.rule, incident.key, None)
    text = sentence(incident, when, show.now_us, show.texts)
    rule = show.texts.say("page.alert_built_in") if incident.rule == alerts.FILE_MISSING else incident.rule
    return Notice(incident.since_us, rule, text, page_of(incident, when))


def fleet_figures(all_of_them: Sequence[Cashier], now_us: int) -> FleetFigures:
    """Counted from the map."""
    links: Counter[str] = Counter()
    for pc in all_of_them:
        for terminal in pc.terminals:
            links["stale" if pc.is_stale(now_us) else terminal.link or "stale"] += 1
    stale = sum(pc.is_stale(now_us) for pc in all_of_them)
    return FleetFigures(len(all_of_them), len(all_of_them) - stale, stale, links.total(), dict(links))


def bars(counts: Mapping[str, int]) -> list[Bar]:
    """The day's outcomes as parts of a bar; the smallest part can still be seen."""
    total = sum(counts.values())
    found: list[Bar] = []
    x = 0
    for state in (*_ORDER, *sorted(counts.keys() - set(_ORDER))):
        if count := counts.get(state):
            width = max(6, round(count * _BAR / total))
            found.append(Bar(state, count, x, width))
            x += width
    return found
