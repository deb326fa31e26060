"""/metrics: figures as they are, in the form that Prometheus reads."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from collector.access.access import Access
from collector.access.roles import Role
from collector.cases import Kind, open_for
from collector.hub import Change, Hub
from collector.ingest.ingest import Health
from collector.ledger import Ledger, alerts
from collector.web.app import create_app
from collector.web.settings import WebSettings
from tests.collector import planted
from tests.collector.conftest import FixedClock
from tests.collector.planted import MINUTE_US, NOW_US, plant
from tests.collector.web.serving import serving

GRAFANA = Path(__file__).parents[3] / "config" / "grafana" / "tillwatch.json"
UNKNOWN = {"outcome": "unknown", "charged": "unknown", "delivered": "unknown", "final": False, "reason": "link_lost"}


def ingest_health() -> Health:
    return Health(
        connected=True, database=True, received=12, stored=9, repeated=2, unreadable=1, raw=1, refused=3, waiting=4,
        lag_s=0.25, rate=1.0, last_stored_us=None,
    )  # fmt: skip


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def app(ledger: Ledger, clock: FixedClock, access: Access, hub: Hub) -> FastAPI:
    return create_app(ledger, WebSettings(), hub, clock=clock, access=access, ingest=ingest_health)


def samples(client: httpx.Client) -> dict[str, float]:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    found = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation, family.name
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_figures_are_those_of_the_ledger(ledger: Ledger, client: httpx.Client, hub: Hub) -> None:
    plant(ledger, 1)
    plant(ledger, 2, **UNKNOWN, pending_us=NOW_US - 2 * MINUTE_US)
    plant(ledger, 3, **UNKNOWN, pending_us=NOW_US - 600 * MINUTE_US)
    plant(ledger, 4, delivered="no")
    plant(ledger, 5, started_us=NOW_US - 3000 * MINUTE_US)
    planted.agent(ledger, "a1", gaps=[[11, 12]], outbox=7)
    planted.agent(ledger, "a2", online=False)
    planted.agent(ledger, "a3", last_seen_us=NOW_US - 60 * MINUTE_US)
    with ledger.write() as connection:
        open_for(connection, Kind.ESCALATED, "x", now_us=NOW_US - 600 * MINUTE_US)
    hub.publish([Change("transaction", "x", "transaction.completed")] * 2 + [Change("x", "", "vendor.thing")])
    hub.publish([Change("agent", "a1", "state")])
    got = samples(client)
    for name, value in {
        'tillwatch_transactions_day{kind=purchase,outcome=approved}': 2,
        'tillwatch_transactions_day{kind=purchase,outcome=unknown}': 2,
        'tillwatch_transactions_undelivered_day': 1,
        'tillwatch_pending_transactions': 2,
        'tillwatch_pending_oldest_seconds': 36000,
        'tillwatch_pending_age_seconds_bucket{le=60.0}': 0,
        'tillwatch_pending_age_seconds_bucket{le=300.0}': 1,
        'tillwatch_pending_age_seconds_bucket{le=+Inf}': 2,
        'tillwatch_agents{state=online}': 1,
        'tillwatch_agents{state=offline}': 1,
        'tillwatch_agents{state=stale}': 1,
        'tillwatch_terminals{link=up}': 3,
        'tillwatch_missing_events': 2,
        'tillwatch_streams_with_gaps': 1,
        'tillwatch_agents_outbox_events': 7,
        'tillwatch_cases_open{kind=escalated,status=open}': 1,
        'tillwatch_cases_overdue': 1,
        'tillwatch_events_total{type=transaction.completed}': 2,
        'tillwatch_events_total{type=transaction.pending}': 0,
        'tillwatch_events_total{type=other}': 1,
        'tillwatch_ingest_lag_seconds': 0.25,
        'tillwatch_ingest_messages_total{result=refused}': 3,
        'tillwatch_refused_messages_total': 0,
    }.items():  # fmt: skip
        assert got[name] == value, name


def test_an_empty_collector_has_every_figure_too(client: httpx.Client) -> None:
    got = samples(client)
    assert got["tillwatch_pending_transactions"] == 0
    assert got["tillwatch_agents{state=stale}"] == 0


def test_figures_can_be_closed(
    ledger: Ledger, clock: FixedClock, access: Access, program: Callable[[Role], httpx.Client]
) -> None:
    closed = create_app(ledger, WebSettings(metrics_open=False), clock=clock, access=access)
    with serving(closed) as url:
        assert httpx.get(f"{url}/metrics", timeout=60).status_code == 401
        headers = program(Role.VIEWER).headers
        assert (
            httpx.get(f"{url}/metrics", timeout=60, headers={"Authorization": headers["authorization"]}).status_code
            == 200
        )


def test_the_dashboard_for_grafana_asks_only_for_what_there_is(client: httpx.Client) -> None:
    exported = {name.split("{")[0] for name in samples(client)}
    board = json.loads(GRAFANA.read_text(encoding="utf-8"))
    asked: set[str] = set()
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            found = set(re.findall(r"\btillwatch_\w+", target["expr"]))
            assert found, f"{panel['title']} asks for nothing"
            asked |= found
    assert asked - exported == set()
    assert len(asked) > 12
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))


def test_what_is_going_on_is_counted_and_told(
    ledger: Ledger, client: httpx.Client, program: Callable[[Role], httpx.Client]
) -> None:
    with ledger.write() as connection:
        trouble = alerts.Trouble("cashier-01", NOW_US - MINUTE_US, {"site": "east", "agent": "cashier-01"})
        alerts.begin(connection, "silent", trouble, NOW_US)
        alerts.put(connection, "pager", "silent/cashier-01/1", "firing", "{}", NOW_US)
    found = samples(client)
    assert found["tillwatch_alerts_firing{rule=silent}"] == 1
    assert found["tillwatch_webhook_messages{webhook=pager}"] == 1
    assert program(Role.VIEWER).get("/api/alerts").json() == {
        "items": [
            {
                "rule": "silent", "subject": "cashier-01", "since": "2026-03-05T09:29:00.000Z",
                "opened_at": "2026-03-05T09:30:00.000Z", "detail": {"site": "east", "agent": "cashier-01"},
            }
        ]
    }  # fmt: skip
