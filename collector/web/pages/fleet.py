"""The fleet: sites, cashier PCs, terminals with what is known of them and how old that is; one terminal's health."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from agent.phrase import phrase
from collector.ledger import views_fleet, views_payments
from collector.ledger.views_fleet import Answered
from collector.ledger.views_payments import Wanted
from collector.web.context import site_of
from collector.web.pages.draw import draw, shown_of
from collector.web.pages.overview import fleet_figures
from collector.web.problems import Problem
from collector.web.security import Reader

router = APIRouter(include_in_schema=False)
DAY_US = 86_400 * 1_000_000
_LATEST = 12
_REFUSALS = 20


@dataclass(frozen=True, slots=True)
class Health:
    """A terminal's last day. Times in microseconds; `nak_rate` as text, a dash where it is not measured."""

    count: int
    unknown: int
    declined: int
    median_us: int | None
    p90_us: int | None
    nak_rate: str


@router.get("/fleet")
def fleet(request: Request, _user: Reader) -> Response:
    """The map."""
    site = site_of(request)
    with site.ledger.read() as connection:
        found = views_fleet.cashiers(connection)
        refused = views_fleet.refusals(connection, _REFUSALS)
    figures = fleet_figures(found, site.now_us)
    return draw(request, "fleet.html", "fleet", cashiers=found, fleet=figures, refusals=refused)


@router.get("/fleet/{agent}/{terminal}")
def terminal(request: Request, agent: str, terminal: str, _user: Reader) -> Response:
    """One terminal."""
    site, show = site_of(request), shown_of(request)
    since = show.now_us - DAY_US
    with site.ledger.read() as connection:
        found = views_fleet.terminal(connection, agent, terminal)
        pcs = views_fleet.cashiers(connection, agent)
        if found is None or not pcs:
            raise Problem(404, phrase("page.no_such_terminal", name=f"{agent[:40]}/{terminal[:40]}"))
        answers = views_fleet.answered(connection, agent, terminal, since)
        series = views_fleet.series(connection, agent, terminal, since)
        latest = views_payments.payments(connection, Wanted(agent=agent, terminal=terminal), _LATEST)
    say, has = show.texts.say, show.texts.has
    charts = [
        {
            "name": name,
            "title": say(f"page.metric_{name}") if has(f"page.metric_{name}") else name,
            "unit": say(f"page.unit_{name}") if has(f"page.unit_{name}") else "",
        }
        for name in sorted(series)
    ]
    return draw(
        request,
        "terminal.html",
        "fleet",
        it=found,
        pc=pcs[0],
        stale=pcs[0].is_stale(show.now_us),
        health=health(answers, found.metrics),
        charts=charts,
        latest=latest,
    )


def health(answers: Sequence[Answered], metrics: Mapping[str, Any]) -> Health:
    """The figures of a day's exchanges."""
    took = sorted(answer.took_us for answer in answers if answer.took_us is not None and answer.outcome != "unknown")
    return Health(
        count=len(answers),
        unknown=sum(answer.outcome == "unknown" for answer in answers),
        declined=sum(answer.outcome == "declined" for answer in answers),
        median_us=took[len(took) // 2] if took else None,
        p90_us=took[len(took) * 9 // 10] if took else None,
        nak_rate=nak_rate(metrics),
    )


def nak_rate(metrics: Mapping[str, Any]) -> str:
    """Refused frames among all frames, in percent; a dash where the agent does not measure it."""
    rate = metrics.get("nak_rate")
    return f"{rate * 100:.1f} %" if isinstance(rate, int | float) else "–"
