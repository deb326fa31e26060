"""The pages, as a browser gets them: what they say of a hospital's morning whose every time is fixed (scenery.py)."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import event, insert

from collector.access.access import Access
from collector.access.roles import Role
from collector.ledger import Ledger, views_payments
from collector.ledger.tables import refusals
from collector.texts import Texts
from collector.web.app import create_app
from collector.web.pages import ROUTERS, error_page
from collector.web.settings import WebSettings
from tests.collector import planted
from tests.collector.conftest import FixedClock
from tests.collector.planted import NOW_US
from tests.collector.web import scenery
from tests.collector.web.scenery import Scenery

PAGES = ["/", "/doubts", "/live", "/cases", "/fleet", "/fleet/cashier-01/pos1", "/days", "/search", "/about"]
EN, ZH = Texts("en"), Texts("zh-CN")


@pytest.fixture
def settings() -> WebSettings:
    return WebSettings(hospital="First Hospital", timezone="Asia/Shanghai")


@pytest.fixture
def morning(ledger: Ledger) -> Scenery:
    return scenery.build(ledger)


@pytest.fixture
def app(ledger: Ledger, settings: WebSettings, clock: FixedClock, access: Access, morning: Scenery) -> FastAPI:
    return create_app(ledger, settings, clock=clock, access=access, pages=ROUTERS, error_page=error_page)


@pytest.fixture
def reader(program: Callable[[Role], httpx.Client]) -> httpx.Client:
    """Reads the pages; with a token, which no clock of a test makes end."""
    return program(Role.VIEWER)


@pytest.fixture
def worker(browser: Callable[[Role], httpx.Client]) -> httpx.Client:
    return browser(Role.OPERATIONS)


def page(client: httpx.Client, path: str, status: int = 200, language: str = "en") -> str:
    answer = client.get(path, headers={"Accept": "text/html", "Accept-Language": language})
    assert answer.status_code == status, answer.text
    return answer.text


def words(html: str) -> str:
    """What is to be read on a page, without tags."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", html)))


def listed(html: str) -> list[str]:
    """The payments of a page's table, in its order."""
    return re.findall(r'<tr data-row="([0-9A-Z]{26})"', html)


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_every_page_says_everything_in_the_readers_language(
    reader: httpx.Client, morning: Scenery, language: str
) -> None:
    texts = {"en": EN, "zh-CN": ZH}[language]
    for path in [*PAGES, f"/transactions/{morning.ids[0]}", "/cases/1"]:
        html = page(reader, path, language=language)
        assert f'<html lang="{language}"' in html, path
        assert texts.say("page.nav_doubts") in html, path
        missing = re.findall(r"\b(?:page|history|access|cases|reconcile)\.[a-z]\w+", words(html))
        assert missing == [], path


def test_nobody_reads_anything_without_logging_in(client: httpx.Client, morning: Scenery) -> None:
    for path in [*PAGES, f"/transactions/{morning.ids[0]}", "/cases/1", "/accounts", "/tokens", "/audit"]:
        answer = client.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/login?next="), path
    for path in ("/charts/minutes", "/charts/answers/cashier-01/pos1", "/charts/metric/cashier-01/pos1/nak_rate"):
        assert client.get(path).status_code == 401, path


def test_the_first_thing_the_overview_tells_is_what_is_in_doubt(reader: httpx.Client, morning: Scenery) -> None:
    doubtful = morning.having(outcome="unknown", final=False)
    in_doubt = [one for one in doubtful if morning.rows[one]["reason"]]
    html = page(reader, "/")
    shown = re.findall(r'<a class="doubt" href="/transactions/(\w+)"', html)
    assert shown == sorted(in_doubt, key=lambda one: morning.rows[one]["started_us"]), "all of them, the oldest first"
    board = words(html[: html.index('class="figures"')])
    assert EN.say("page.doubts_title", n=len(in_doubt)) in board
    assert "¥1,280.50 outpatient-1 · cashier-02 · pos1 4970 · 16:55:00 34 min" in board
    assert EN.say("history.reason_terminal_restarted") in board
    assert EN.say("page.doing_people") in board
    assert EN.say("page.doing_asked", n=2) in board


def test_the_overview_counts_the_day(reader: httpx.Client, morning: Scenery) -> None:
    text = words(page(reader, "/"))
    assert f"Payments today {len(morning.ids)}" in text
    for outcome in ("approved", "declined", "cancelled"):
        assert f"{outcome} {len(morning.having(outcome=outcome))}" in text
    taken = sum(morning.rows[one]["amount"] for one in morning.having(charged="yes"))
    assert f"¥{taken / 100:,.2f}" in text
    assert "Charged, not delivered 1" in text
    assert "From doubt to truth 7.4 s" in text
    assert "Cashier PCs online 3 / 4 not heard of: 1" in text


def test_yesterdays_payments_are_not_todays(reader: httpx.Client, clock: FixedClock, morning: Scenery) -> None:
    clock.advance(hours=14)  # past midnight in Shanghai
    text = words(page(reader, "/"))
    assert "Payments today 0" in text
    assert EN.say("page.doubts_title", n=3) in text, "the one under way is in doubt now; doubts do not end at midnight"


def test_a_cashier_pc_that_fell_silent_in_mid_payment_is_a_doubt(
    reader: httpx.Client, clock: FixedClock, morning: Scenery
) -> None:
    (under_way,) = [one for one in morning.having(outcome="unknown", final=False) if not morning.rows[one]["reason"]]
    assert under_way not in page(reader, "/doubts")
    clock.advance(minutes=6)
    html = page(reader, "/doubts")
    assert f'href="/transactions/{under_way}"' in html
    assert EN.say("page.why_silent") in html


def test_stale_is_never_shown_as_current(reader: httpx.Client, clock: FixedClock) -> None:
    text = words(page(reader, "/fleet"))
    assert "cashier-04 offline Last heard 5 min ago" in text
    assert "was up" in text
    clock.advance(minutes=5)
    text = words(page(reader, "/fleet"))
    assert "cashier-01 stale Last heard 5 min ago" in text
    assert " up " not in text.replace("was up", ""), "nothing is up when nobody was heard of"
    assert "This cashier PC was last heard 5 min ago" in words(page(reader, "/fleet/cashier-01/pos1"))


def test_refused_messages_are_shown(reader: httpx.Client, ledger: Ledger) -> None:
    assert EN.say("page.refusals") not in page(reader, "/fleet")
    with ledger.write() as connection:
        connection.execute(
            insert(refusals).values(
                first_us=NOW_US, last_us=NOW_US, count=3, topic="tillwatch/1/east/evil/events/agent.started",
                claimed="/east/cashier-01", why="source", payload="{}",
            )
        )  # fmt: skip
    assert "tillwatch/1/east/evil/events/agent.started" in page(reader, "/fleet")


def test_one_payment_shows_its_time_line_slips_and_what_to_do(reader: httpx.Client, morning: Scenery) -> None:
    html = page(reader, f"/transactions/{morning.ids[0]}")
    assert html.count('<figure class="slip">') == 2
    assert "持卡人存根" in html
    assert "622202******4001" in html
    assert EN.say("history.advice_approved") in unescape(html)
    (doubt,) = morning.having(amount=128050)
    html = page(reader, f"/transactions/{doubt}")
    line = words(html[html.index('<ol class="line">') :])
    steps = ["request went to the terminal", "outcome unknown", "terminal asked again", "handed to people"]
    places = [line.index(step) for step in steps]
    assert places == sorted(places)
    assert line.count("terminal asked again") == 3
    assert 'href="/cases/1"' in html


def test_hostile_text_of_a_terminal_stays_text(reader: httpx.Client, ledger: Ledger, morning: Scenery) -> None:
    planted.receipt(ledger, morning.ids[1], 9100, "customer", "<script>alert(1)</script><img src=x>")
    html = page(reader, f"/transactions/{morning.ids[1]}")
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "onclick" not in html


def test_the_live_list_filters_and_goes_back_in_time(reader: httpx.Client, morning: Scenery) -> None:
    newest_first = sorted(morning.ids, key=lambda one: (-morning.rows[one]["started_us"], one))
    assert sorted(listed(page(reader, "/live"))) == sorted(newest_first)
    declined = morning.having(outcome="declined")
    assert sorted(listed(page(reader, "/live?state=declined"))) == sorted(declined)
    assert sorted(listed(page(reader, "/live?agent=cashier-02"))) == sorted(morning.having(agent="cashier-02"))
    assert listed(page(reader, "/live?amount=1,280.50")) == morning.having(amount=128050)
    assert listed(page(reader, "/live?day=2026-03-04")) == []
    assert sorted(listed(page(reader, "/live?day=2026-03-05"))) == sorted(morning.ids)
    middle = morning.rows[newest_first[10]]["started_us"]
    older = [one for one in morning.ids if morning.rows[one]["started_us"] < middle]
    assert sorted(listed(page(reader, f"/live?before={middle}-"))) == sorted(older)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("q=1280.50", {"amount": 128050}),
        ("q=￥1,280.50", {"amount": 128050}),
        ("q=4970", {"amount": 128050}),  # by the end of its card
        ("q=000101", {"trace": "000101"}),
        ("q=101", {"trace": "000101"}),  # as it is read out from a slip
        ("q=HIS00104", {"order": "HIS00104"}),
        ("q=240607100007", {"reference": "240607100007"}),
        ("last4=4003&amount=47.25", {"order": "HIS00003"}),
        ("last4=4003&amount=47.26", {"order": "none"}),
        ("amount=460&day=2026-03-05", {"amount": 46000}),
        ("amount=460&day=2026-03-04", {"order": "none"}),
        ("amount=460&time=16:40", {"amount": 46000}),  # it was at 16:40 in Shanghai, today
        ("amount=460&time=16:54", {"amount": 46000}),  # people remember a quarter of an hour
        ("amount=460&time=16:58", {"order": "none"}),
        ("number=654321", {"approval_code": "654321"}),
    ],
)  # fmt: skip
def test_the_patient_at_the_window_is_found_by_whatever_they_know(
    reader: httpx.Client, morning: Scenery, query: str, wanted: dict[str, object]
) -> None:
    assert sorted(listed(page(reader, f"/search?{query}"))) == sorted(morning.having(**wanted))


def test_the_search_says_how_it_understood_and_what_to_try_next(reader: httpx.Client) -> None:
    text = words(page(reader, "/search?q=4970"))
    assert "Read as card ending 4970 or amount 4,970.00 or number 4970." in text
    assert EN.say("page.search_none_do") in words(page(reader, "/search?q=99999.99"))
    assert 'class="notice bad"' in page(reader, "/search?q=a b c d e", status=400)
    assert 'class="notice bad"' in page(reader, "/search?amount=1&time=25:00", status=400)


@pytest.mark.parametrize("query", ["amount=12,8", "amount=abc", "last4=12", "day=yesterday", "day=2026-13-01"])
def test_a_filter_that_can_not_be_read_is_said_in_one_line(reader: httpx.Client, query: str) -> None:
    html = page(reader, f"/live?{query}", status=400)
    assert 'class="notice bad"' in html


@pytest.mark.parametrize("path", ["/transactions/01NOSUCH", "/cases/999", "/fleet/nobody/pos1", "/nowhere"])
def test_what_is_not_there_is_said_on_a_page_with_a_way_on(reader: httpx.Client, path: str) -> None:
    html = page(reader, path, status=404)
    assert 'href="/"' in html
    assert "Traceback" not in html


def test_charts_give_their_figures(reader: httpx.Client, morning: Scenery) -> None:
    minutes = reader.get("/charts/minutes").json()
    in_the_hour = [one for one in morning.ids if NOW_US - morning.rows[one]["started_us"] <= 60 * scenery.MINUTE_US]
    assert sum(minutes["series"][0]["values"]) == len(in_the_hour)
    assert len(minutes["x"]) == len(minutes["series"][0]["values"]) == 61
    answers = reader.get("/charts/answers/cashier-01/pos1").json()
    finished = [one for one in morning.having(agent="cashier-01") if morning.rows[one]["ended_at"]]
    assert len(answers["x"]) == len(finished)
    rates = reader.get("/charts/metric/cashier-01/pos1/nak_rate").json()
    assert max(rates["series"][0]["values"]) == pytest.approx(0.5)


def test_a_case_is_worked_to_its_end(worker: httpx.Client, ledger: Ledger) -> None:
    for path, form in (
        ("owner", {"owner": "some-operations"}),
        ("due", {"due": "2026-03-06T10:00"}),
        ("note", {"text": "Called the acquirer: reversal tomorrow."}),
        ("status", {"status": "waiting_for_acquirer"}),
        ("status", {"status": "refund_agreed"}),
        ("status", {"status": "refunded"}),
        ("status", {"status": "closed", "reason": "refunded"}),
    ):
        answer = worker.post(f"/cases/1/{path}", data=form)
        assert answer.status_code == 303, (path, words(answer.text))
    text = words(page(worker, "/cases/1"))
    for said in ("owner: nobody → some-operations", "look again: 2026-03-05 21:10 → 2026-03-06 10:00",
                 "Called the acquirer: reversal tomorrow.", "open → waiting for the acquirer",
                 "refunded → closed (refunded)"):  # fmt: skip
        assert said in text, said
    assert "/cases/1" not in page(worker, "/cases")
    assert 'href="/cases/1"' in page(worker, "/cases?view=closed")


def test_a_step_that_is_none_is_refused_and_nothing_typed_is_lost(worker: httpx.Client) -> None:
    answer = worker.post("/cases/1/status", data={"status": "refunded", "note": "too early"})
    assert answer.status_code == 400
    assert 'class="notice bad"' in answer.text
    assert 'value="too early"' in answer.text
    seen = worker.post("/cases/1/owner", data={"owner": "some-operations", "seen": "0"})
    assert seen.status_code == 409, "somebody else changed it meanwhile"


def test_a_viewer_sees_cases_and_changes_nothing(reader: httpx.Client) -> None:
    html = page(reader, "/cases/1")
    assert 'action="/cases/1/' not in html
    for path, form in (("note", {"text": "x"}), ("status", {"status": "closed", "reason": "mistake"}), ("owner", {})):
        assert reader.post(f"/cases/1/{path}", data=form).status_code == 403


def test_a_case_is_opened_by_hand_from_a_payment(worker: httpx.Client, morning: Scenery) -> None:
    answer = worker.post(f"/transactions/{morning.ids[2]}/case")
    assert answer.status_code == 303
    assert EN.say("cases.kind_other") in page(worker, answer.headers["location"])


def test_an_administrator_invites_and_the_link_is_shown_once(browser: Callable[[Role], httpx.Client]) -> None:
    admin = browser(Role.ADMIN)
    answer = admin.post("/accounts", data={"name": "li.na", "display": "李娜", "role": "cashier-lead"})
    link = re.search(r"http://[\w.:]+/invitation/\S+?(?=<)", answer.text)
    assert link
    assert "/invitation/" not in page(admin, "/accounts")
    assert "李娜" in page(admin, "/accounts")
    assert page(admin, link[0].split("/", 3)[3].join(["/", ""]))
    taken = admin.post("/accounts", data={"name": "li.na", "role": "viewer"})
    assert taken.status_code == 400
    assert 'value="li.na"' in taken.text


def test_a_token_is_made_shown_once_and_revoked(browser: Callable[[Role], httpx.Client], url: str) -> None:
    admin = browser(Role.ADMIN)
    answer = admin.post("/tokens", data={"name": "grafana", "role": "viewer", "days": "30"})
    secret = re.search(r'<div class="secret" id="secret">(\S+)</div>', answer.text)
    assert secret
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {secret[1]}"}) as program:
        assert program.get("/charts/minutes").status_code == 200
        token = re.search(r'action="/tokens/([^/]+)/revoke"', page(admin, "/tokens"))
        assert token
        assert admin.post(f"/tokens/{token[1]}/revoke").status_code == 303
        assert program.get("/charts/minutes").status_code == 401
    assert secret[1] not in page(admin, "/tokens")


def test_only_administrators_manage_access_and_operations_read_the_log(
    worker: httpx.Client, reader: httpx.Client
) -> None:
    assert page(worker, "/accounts", status=403)
    assert page(reader, "/audit", status=403)
    worker.post("/cases/1/note", data={"text": "looked at it"})
    assert "case.note" in page(worker, "/audit")


def test_the_wall_screen_has_no_navigation_to_click(reader: httpx.Client) -> None:
    assert re.search(r"<html lang=\"en\" data-wall>", page(reader, "/?wall=1"))
    assert " data-wall>" not in page(reader, "/")


def test_pages_load_nothing_from_anywhere_else(reader: httpx.Client, morning: Scenery) -> None:
    for path in [*PAGES, f"/transactions/{morning.ids[0]}", "/cases/1"]:
        html = page(reader, path)
        for address in re.findall(r'(?:src|href|action|data-src)="([^"]*)"', html):
            assert address.startswith(("/", "#")), (path, address)
        assert " style=" not in html, path
        assert not re.search(r"<script(?![^>]*src=)", html), path
        for address in re.findall(r'(?:src|href)="(/static/[^"]*)"', html):
            assert reader.get(address).status_code == 200, address


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # PostgreSQL plans by size, and there is little here
def test_what_every_page_counts_needs_no_walk_through_all_payments(ledger: Ledger, morning: Scenery) -> None:
    asked: list[tuple[str, object]] = []
    event.listen(ledger.engine, "before_cursor_execute", lambda *given: asked.append((given[2], given[3])))
    with ledger.read() as connection:
        views_payments.count_doubts(connection, NOW_US)
        views_payments.doubts(connection, NOW_US, 10)
        plans = [
            " ".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values))
            for query, values in list(asked)
            if query.startswith("SELECT")
        ]
    assert len(plans) == 4
    for plan in plans:
        assert "USING INDEX ix_transactions" in plan or "COVERING INDEX ix_transactions" in plan, plan
