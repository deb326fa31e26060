"""The pages, as a browser gets them: what they say of a hospital's morning whose every time is fixed (scenery.py).

What they read from the ledger is asked on both databases in test_reading.py; here SQLite is enough.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from sqlalchemy import event, insert, update

from collector.access.roles import Role
from collector.ledger import Ledger, alerts, views_payments
from collector.ledger.tables import refusals, terminals
from collector.reconcile.run import run_day
from collector.texts import Texts
from tests.collector import planted
from tests.collector.conftest import FixedClock
from tests.collector.planted import NOW_US
from tests.collector.reconcile.generate import DAY, Hospital
from tests.collector.reconcile.test_run import request_for
from tests.collector.web.pages.browsing import page, words
from tests.collector.web.pages.scenery import Scenery

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
PAGES = ["/", "/doubts", "/live", "/cases", "/fleet", "/fleet/cashier-01/pos1", "/days", "/search", "/about"]
EN, ZH = Texts("en"), Texts("zh-CN")


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


#: what stands in another language in Chinese pages, too: names, units, what is written on terminals and keys
NAMES = {
    "tillwatch", "English", "Language", "Enter", "HIS", "CNY", "UnionPay", "NAK", "API", "Python", "SQLite", "htmx",
    "Prometheus", "uPlot", "MIT", "BSD", "Apache", "openapi", "json", "metrics", "health", "api", "cashier", "pos",
    "outpatient", "inpatient", "concert", "zvt", "serial", "tcp", "dev", "ttyS", "First", "Hospital", "test", "viewer",
    "csv", "generic", "allinpay", "cable", "reconcile", "help", "RMB", "east", "his",
}  # fmt: skip


def test_no_english_is_left_on_a_chinese_page(reader: httpx.Client, ledger: Ledger, morning: Scenery) -> None:
    planted.agent(ledger, "cashier-05", site="inpatient-1")
    reason = {"link": "down", "reason": "busy", "detail": None}
    with ledger.write() as connection:
        connection.execute(update(terminals).where(terminals.c.agent == "cashier-05").values(**reason))
        connection.execute(
            insert(refusals).values(
                first_us=NOW_US, last_us=NOW_US, count=1, topic="-", claimed="-", why="source", payload=""
            )
        )
        alerts.begin(
            connection, "x", alerts.Trouble("cashier-05/pos1", NOW_US, reason | {"when": "terminal_down"}), NOW_US
        )
    paths = [
        *PAGES,
        f"/transactions/{morning.ids[0]}",
        f"/transactions/{morning.ids[-4]}",
        "/cases/1",
        "/fleet/cashier-05/pos1",
    ]
    for path in paths:
        shown = re.sub(r"\b[0-9A-Z]{12,}\b|HIS\d+", "", words(page(reader, path, language="zh-CN")))
        assert set(re.findall(r"[A-Za-z]{3,}", shown)) - NAMES == set(), path


def test_a_day_of_every_difference_is_told_in_chinese(reader: httpx.Client, ledger: Ledger, tmp_path: Path) -> None:
    hospital = Hospital(3)
    hospital.everything()
    hospital.store(ledger)
    hospital.write(tmp_path)
    report = run_day(ledger, replace(request_for(tmp_path), by="nightly"))
    for path in ("/days", f"/days/{DAY}", f"/days/{DAY}?category={report.differences[0].category}"):
        shown = re.sub(r"\b(?=\w*\d)\w{6,}\b", "", words(page(reader, path, language="zh-CN")))
        assert set(re.findall(r"[A-Za-z]{3,}", shown)) - NAMES == set(), path


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


def test_yesterdays_payments_are_not_todays(reader: httpx.Client, clock: FixedClock, morning: Scenery) -> None:
    clock.advance(hours=14)  # past midnight in Shanghai
    text = words(page(reader, "/"))
    assert "Payments today 0" in text
    assert EN.say("page.doubts_title", n=3) in text, "the one under way is in doubt now; doubts do not end at midnight"


def test_stale_is_never_shown_as_current(reader: httpx.Client, clock: FixedClock) -> None:
    text = words(page(reader, "/fleet"))
    assert "cashier-04 offline Last heard 5 min ago" in text
    assert "was up" in text
    clock.advance(minutes=5)
    text = words(page(reader, "/fleet"))
    assert "cashier-01 stale Last heard 5 min ago" in text
    assert " up " not in text.replace("was up", ""), "nothing is up when nobody was heard of"
    assert "This cashier PC was last heard 5 min ago" in words(page(reader, "/fleet/cashier-01/pos1"))


def test_hostile_text_of_a_terminal_stays_text(reader: httpx.Client, ledger: Ledger, morning: Scenery) -> None:
    planted.receipt(ledger, morning.ids[1], 9100, "customer", "<script>alert(1)</script><img src=x>")
    html = page(reader, f"/transactions/{morning.ids[1]}")
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "onclick" not in html


def test_the_search_says_how_it_understood_and_what_to_try_next(reader: httpx.Client) -> None:
    text = words(page(reader, "/search?q=4970"))
    assert "Read as card ending 4970 or amount 4,970.00 or number 4970." in text
    assert EN.say("page.search_none_do") in words(page(reader, "/search?q=99999.99"))
    assert 'class="notice bad"' in page(reader, "/search?q=a b c d e", status=400)
    assert 'class="notice bad"' in page(reader, "/search?amount=1&time=25:00", status=400)


def test_a_filter_that_can_not_be_read_is_said_in_one_line(reader: httpx.Client) -> None:
    for query in ("amount=12,8", "amount=abc", "last4=12", "day=yesterday", "day=2026-13-01"):
        assert 'class="notice bad"' in page(reader, f"/live?{query}", status=400), query


def test_what_is_not_there_is_said_on_a_page_with_a_way_on(reader: httpx.Client) -> None:
    for path in ("/transactions/01NOSUCH", "/cases/999", "/fleet/nobody/pos1", "/days/2026-01-01", "/nowhere"):
        html = page(reader, path, status=404)
        assert 'href="/"' in html, path
        assert "Traceback" not in html, path


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
    with httpx.Client(base_url=url, timeout=60, headers={"Authorization": f"Bearer {secret[1]}"}) as program:
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
    assert plans
    for plan in plans:
        assert not re.search(
            r"\bSCAN (transactions|events)(?! USING (COVERING )?INDEX ix_transactions_pending)", plan
        ), plan
