"""What pages read from the ledger, on both databases: counts, lists, doubts, the search, charts (scenery.py)."""

from __future__ import annotations

import re

import httpx
import pytest
from sqlalchemy import insert

from collector.ledger import Ledger
from collector.ledger.entries import Entry, EntryKind, Side, State
from collector.ledger.reconcile import Finding, put_finding
from collector.ledger.tables import refusals
from collector.texts import Texts
from tests.collector.conftest import FixedClock
from tests.collector.planted import NOW_US
from tests.collector.web.pages import scenery
from tests.collector.web.pages.browsing import listed, page, words
from tests.collector.web.pages.scenery import Scenery

EN = Texts("en")


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


def test_a_cashier_pc_that_fell_silent_in_mid_payment_is_a_doubt(
    reader: httpx.Client, clock: FixedClock, morning: Scenery
) -> None:
    (under_way,) = [one for one in morning.having(outcome="unknown", final=False) if not morning.rows[one]["reason"]]
    assert under_way not in page(reader, "/doubts")
    clock.advance(minutes=6)
    html = page(reader, "/doubts")
    assert f'href="/transactions/{under_way}"' in html
    assert EN.say("page.why_silent") in html


def test_what_the_acquirers_file_proved_is_the_truth_on_every_page(
    reader: httpx.Client, ledger: Ledger, morning: Scenery
) -> None:
    (doubtful,) = morning.having(amount=35600)
    of_the_pc = 'href="/live?state=doubt&amp;agent=cashier-01"'
    assert of_the_pc in page(reader, "/fleet")
    entry = Entry(
        side=Side.ACQUIRER, key="k", day="2026-03-05", kind=EntryKind.PURCHASE, state=State.CHARGED, amount=35600
    )
    finding = Finding(
        transaction=doubtful, day=entry.day, outcome="approved", run=1, file="pos20260305.csv", line=7, row=entry,
        key="trace", found_us=NOW_US,
    )  # fmt: skip
    with ledger.write() as connection:
        assert put_finding(connection, finding)
    live = page(reader, "/live")
    (line,) = re.findall(rf'<tr data-row="{doubtful}".*?</tr>', live, re.DOTALL)
    assert words(line).split("¥356.00 ")[1].startswith(f"approved {EN.say('page.proved_by_file')} outpatient-1")
    assert doubtful in listed(page(reader, "/live?state=approved"))
    assert doubtful not in page(reader, "/doubts")
    assert of_the_pc not in page(reader, "/fleet")
    whole = words(page(reader, f"/transactions/{doubtful}"))
    assert "pos20260305.csv, line 7" in whole
    assert f"{EN.say('history.charged')} {EN.say('history.yes')}" in whole


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


KNOWN: list[tuple[str, dict[str, object]]] = [
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
]


def test_the_patient_at_the_window_is_found_by_whatever_they_know(reader: httpx.Client, morning: Scenery) -> None:
    for query, wanted in KNOWN:
        assert sorted(listed(page(reader, f"/search?{query}"))) == sorted(morning.having(**wanted)), query


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


def test_one_payment_shows_its_time_line_slips_and_what_to_do(reader: httpx.Client, morning: Scenery) -> None:
    html = page(reader, f"/transactions/{morning.ids[0]}")
    assert html.count('<figure class="slip">') == 2
    assert "持卡人存根" in html
    assert "622202******4001" in html
    assert EN.say("history.advice_approved") in words(html)
    (doubt,) = morning.having(amount=128050)
    html = page(reader, f"/transactions/{doubt}")
    line = words(html[html.index('<ol class="line">') :])
    steps = ["request went to the terminal", "outcome unknown", "terminal asked again", "handed to people"]
    places = [line.index(step) for step in steps]
    assert places == sorted(places)
    assert line.count("terminal asked again") == 3
    assert 'href="/cases/1"' in html


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
