"""Enrolment in the browser and through the API: who may, what is shown once, what is refused."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from agent.enroll import keys
from agent.enroll.token import parse
from collector.access.access import Access
from collector.access.roles import Role
from collector.enrol.authority import Authority
from collector.enrol.desk import EnrolDesk, Wanted
from collector.enrol.desks import Desks
from collector.enrol.fleet import FleetDesk
from collector.ledger import Ledger
from collector.web.app import create_app
from collector.web.pages import ROUTERS, error_page
from collector.web.settings import WebSettings
from tests.certificates import make_key
from tests.collector.conftest import FixedClock
from tests.collector.web.pages.browsing import page, words

Browser = Callable[[Role], httpx.Client]
PATIENCE_S = 60.0  # of a client: a busy machine makes hundreds of tokens slowly


@pytest.fixture
def browser(browser: Browser) -> Browser:
    return patient(browser)


@pytest.fixture
def program(program: Browser) -> Browser:
    return patient(program)


def patient(made: Browser) -> Browser:
    def with_role(role: Role) -> httpx.Client:
        client = made(role)
        client.timeout = httpx.Timeout(PATIENCE_S)
        return client

    return with_role


@pytest.fixture
def desks(ledger: Ledger, tmp_path: Path, clock: FixedClock) -> Desks:
    authority = Authority.init(tmp_path / "ca", "First Hospital", clock())
    return Desks(EnrolDesk(ledger, authority, "mqtts://broker"), FleetDesk(ledger, authority.folder))


@pytest.fixture
def app(ledger: Ledger, settings: WebSettings, clock: FixedClock, access: Access, desks: Desks) -> FastAPI:
    return create_app(
        ledger, settings, clock=clock, access=access, pages=ROUTERS, error_page=error_page, enrolment=desks
    )


def test_a_technician_makes_a_token_and_takes_an_identity_back(browser: Browser, desks: Desks, tmp_path: Path) -> None:
    technician = browser(Role.TECHNICIAN)
    assert "Nobody is enrolled yet" in words(page(technician, "/enrolment"))
    made = technician.post("/enrolment/tokens", data={"agent": "cashier-07", "site": "out-1"})
    token = parse(made.text.partition('id="secret">')[2].partition("<")[0])
    shown = page(technician, "/enrolment")
    assert token.secret not in shown
    assert "Open tokens: 1" in words(shown)

    make_key(tmp_path / "key")
    request = keys.request(tmp_path / "key", "cashier-07")
    desks.enrol.enrol(Wanted(token.secret, "cashier-07", "out-1", request), "10.0.0.1")
    assert "cashier-07 out-1" in words(page(technician, "/enrolment"))
    assert technician.post("/enrolment/agents/cashier-07/revoke").status_code == 303
    assert "revoked some-technician" in words(page(technician, "/enrolment"))
    assert technician.post("/enrolment/agents/cashier-07/revoke", headers={"Accept": "text/html"}).status_code == 404
    assert "已吊销" in words(page(technician, "/enrolment", language="zh-CN"))


def test_a_list_comes_back_with_tokens_or_with_the_line_that_is_wrong(browser: Browser) -> None:
    technician = browser(Role.TECHNICIAN)
    rows = "agent,site\r\n" + "".join(f"cashier-{n},out-1\r\n" for n in range(100))
    answer = technician.post("/enrolment/tokens/list", data={"agents": rows})
    assert answer.headers["content-disposition"].startswith("attachment")
    found = list(csv.DictReader(answer.text.splitlines()))
    assert len({parse(row["token"]).secret for row in found}) == 100
    bad = technician.post(
        "/enrolment/tokens/list", data={"agents": "agent,site\na,\n"}, headers={"Accept": "text/html"}
    )
    assert bad.status_code == 400
    assert "the list:2: agent or site is missing" in words(bad.text)


def test_an_administrator_publishes_and_nothing_typed_is_lost(browser: Browser, desks: Desks) -> None:
    admin, technician = browser(Role.ADMIN), browser(Role.TECHNICIAN)
    good = '[[group]]\r\nsites = ["out-*"]\r\n[group.log]\r\nlevel = "debug"\r\n'
    assert technician.post("/enrolment/fleet", data={"document": good}).status_code == 403
    assert admin.post("/enrolment/fleet", data={"document": good}).status_code == 303
    first = desks.fleet.newer_than(0)
    assert first is not None
    assert first.document.startswith("version = 1\nexpires = 2026-06-03T09:30:00Z\n[[group]]\n")
    # What the page shows is the last version, header and all: publishing it again makes the next one.
    assert admin.post("/enrolment/fleet", data={"document": first.document}).status_code == 303
    bad = admin.post("/enrolment/fleet", data={"document": "[[group]]\n[group.log]\nlevl = 1\n"})
    assert bad.status_code == 400
    assert "nearest is level" in words(bad.text)
    assert "levl = 1" in bad.text
    assert (desks.fleet.next_version(), desks.fleet.newer_than(2)) == (3, None)


def test_programs_order_tokens(program: Browser, desks: Desks) -> None:
    viewer, technician = program(Role.VIEWER), program(Role.TECHNICIAN)
    order = {"agents": [{"agent": "cashier-07", "site": "out-1"}], "valid_s": 3600}
    assert viewer.post("/api/enrolment/tokens", json=order).status_code == 403
    made = technician.post("/api/enrolment/tokens", json=order)
    assert made.status_code == 201
    assert parse(made.json()["items"][0]["token"]).agent == "cashier-07"
    order["agents"] = [{"agent": "no good", "site": "x"}]
    refused = technician.post("/api/enrolment/tokens", json=order)
    assert refused.status_code == 400
    assert "is no id" in refused.json()["detail"]
    assert technician.get("/api/enrolment/certificates").json() == {"items": []}
    assert technician.delete("/api/enrolment/agents/cashier-07").json() == {"certificates": 0}
    assert technician.delete("/api/enrolment/agents/cashier-07").status_code == 404
