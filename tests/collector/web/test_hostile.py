"""Whatever agents send and programs ask: one message is one message's trouble, and nothing here ends in a defect."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.exc import OperationalError

from agent.config import Mqtt
from collector.access.access import Access
from collector.access.people import CONSOLE
from collector.access.roles import Role
from collector.hub import Hub
from collector.ingest.envelope import parse
from collector.ingest.ingest import Ingest
from collector.ledger import Ledger, alerts, cases, lookup, microseconds, reconcile
from collector.web.app import create_app
from collector.web.pages import ROUTERS, error_page
from collector.web.settings import WebSettings
from tests.collector.conftest import NOW, FixedClock
from tests.collector.hostile import LONG, messages

NOWHERE = Mqtt(
    url="mqtt://127.0.0.1:1", host="127.0.0.1", port=1, tls=False, username=None, password_file=None, ca_file=None,
    cert_file=None, key_file=None, keepalive_s=30.0,
)  # fmt: skip
NUMBER = 99999999999999999999999
#: characters that no text of PostgreSQL holds, numbers beyond 64 bits, words that are none
IMPOSSIBLE = (
    ("GET", "/api/transactions/%00", None),
    ("GET", f"/api/cases/{NUMBER}", None),
    ("GET", "/transactions/%00", None),
    ("GET", f"/cases/{NUMBER}", None),
    ("GET", f"/audit?before={NUMBER}", None),
    ("POST", "/api/cases", {"transaction": "\0", "note": "x"}),
    ("PUT", "/api/cases/1/owner", {"owner": "\0"}),
    ("POST", "/accounts", "name=a&role=emperor"),
    ("POST", "/accounts/%00/invite", ""),
    ("POST", "/tokens", "name=a&role=emperor"),
    ("POST", "/login", "name=a%00&password=b"),
)


@pytest.fixture
def app(ledger: Ledger, settings: WebSettings, clock: FixedClock, access: Access) -> FastAPI:
    return create_app(ledger, settings, clock=clock, access=access, pages=ROUTERS, error_page=error_page)


def take_in(ledger: Ledger) -> list[str]:
    """Have all of it taken in as a batch; returns the payments that were told of."""
    sent = list(messages())
    ingest = Ingest(ledger, NOWHERE, Hub())
    ingest._store([parse(one.topic, one.payload, microseconds(NOW), retained=False) for one in sent])
    # What is read today may be let through tomorrow: a key that no index takes does not stop the others either.
    overlong = parse(*sent[0][1:], microseconds(NOW))._replace(epoch="e2", subject=LONG)  # type: ignore[call-arg]
    ingest._store([overlong])
    return [one.transaction for one in sent if one.transaction]


def test_hostile_messages_are_kept_counted_and_shown(
    ledger: Ledger, program: Callable[[Role], httpx.Client], clock: FixedClock
) -> None:
    told = take_in(ledger)
    with ledger.read() as connection:
        agents = lookup.agents_by_name(connection, 100)
        numbers = [case.number for case in cases.find(connection, cases.Wanted(), 100)]
    assert [agent.agent for agent in agents] == ["c-8", "cashier-07"]
    stream = next(stream for stream in agents[1].streams if stream.epoch == "e1")
    assert stream.stored == stream.highest == 31  # none of the events is missing: nobody is asked for it for ever
    assert agents[0].last_seen_us <= microseconds(NOW)
    assert numbers

    client = program(Role.ADMIN)
    places = [f"/api/transactions/{one}{end}" for one in told for end in ("", "/proof")]
    places += [f"/transactions/{one}" for one in told]
    places += [f"/api/cases/{number}{end}" for number in numbers for end in ("", "/package")]
    places += [f"/cases/{number}" for number in numbers]
    with ledger.write() as connection:
        alerts.begin(connection, "silent", alerts.Trouble("<script>alert(4)</script>", 0, {}), 1)
    places += ["/", "/live", "/doubts", "/fleet", "/cases", "/search?last4=1234", "/audit", "/metrics"]
    places += [f"/api/{name}" for name in ("transactions", "agents", "terminals", "cases")]
    clock.advance(hours=1)
    answers = {place: client.get(place, headers={"Accept": "text/html"}) for place in places}
    assert {place: found.status_code for place, found in answers.items() if found.status_code >= 500} == {}
    assert {
        place for place, found in answers.items() if "<script>alert" in found.text and "/api/" not in place
    } == set()
    assert "alert(4)" in answers["/"].text
    assert len(answers["/api/transactions"].json()["items"]) > 10


def test_impossible_values_are_refused_in_one_line(program: Callable[[Role], httpx.Client]) -> None:
    client = program(Role.ADMIN)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    statuses = {}
    for method, place, body in IMPOSSIBLE:
        given = {"content": body, "headers": form} if isinstance(body, str) else {"json": body}
        statuses[method, place] = client.request(method, place, **given).status_code
    assert {asked: status for asked, status in statuses.items() if status >= 500 or status < 300} == {}


def test_a_card_number_in_the_note_of_a_difference_is_masked(
    browser: Callable[[Role], httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = []
    monkeypatch.setattr(reconcile, "settle_by_person", lambda *_, note, **_more: noted.append(note))
    place = "/days/2026-03-04/differences/x"
    browser(Role.OPERATIONS).post(place, data={"note": "card 4111 1111 1111 1111"})
    assert noted == ["card 4111 11** **** 1111"]


def test_a_database_that_is_away_is_said_so(
    url: str, access: Access, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **_more: object) -> None:
        raise OperationalError("SELECT 1", {}, Exception("server closed the connection"))

    monkeypatch.setattr(lookup, "terminals_by_place", away)
    _, secret = access.new_token(CONSOLE, "watcher", Role.VIEWER)
    answer = client.get("/api/terminals", headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert "database" in answer.json()["detail"]
    assert "SELECT" not in answer.text
