"""The demo's yesterday: what is planted is found, all of it and nothing else, at whatever hour it is played."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from agent.events import Source, envelope
from collector import demo
from collector.ledger import Ledger, reconcile
from collector.ledger.incoming import Event
from collector.ledger.write import Writer
from collector.web.pages.shown import us_of
from tests.collector.conftest import FixedClock

DAY = date(2026, 3, 4)


def store(ledger: Ledger, played: demo.Day) -> None:
    source = Source(demo.SITE, demo.AGENT, "e1")
    batch = []
    for number, draft in enumerate(demo.events_of(played), 1):
        body = envelope(draft, source, number)
        event = json.loads(body)
        batch.append(
            Event(
                agent=demo.AGENT, epoch="e1", sequence=number, time_us=us_of(event["time"]),
                received_us=us_of(event["time"]), site=demo.SITE, terminal=draft.terminal, type=str(draft.type),
                subject=draft.subject, body=body, data=event["data"],
            )
        )  # fmt: skip
    Writer(ledger).store(batch)


@pytest.mark.parametrize("hour", [0, 3, 11, 16, 23])
def test_what_is_planted_is_found_at_any_hour_of_the_next_day(
    ledger: Ledger, clock: FixedClock, tmp_path: Path, hour: int
) -> None:
    clock.now = datetime(2026, 3, 5, hour, 59, tzinfo=UTC)
    played = demo.play(DAY)
    store(ledger, played)
    report = demo.reconcile(ledger, played, tmp_path)
    assert Counter(one.category for one in report.differences) == Counter(demo.PLANTED)
    assert all(one.status == reconcile.OPEN for one in report.differences)
    assert report.run.proved == 1
    assert report.bad == []


def test_a_day_is_the_same_each_time_it_is_played() -> None:
    assert demo.play(DAY).seen == demo.play(DAY).seen
    assert demo.play(DAY).seen != demo.play(date(2026, 3, 3)).seen


def test_events_come_in_the_order_of_their_times_and_hold_no_full_card_number() -> None:
    drafts = demo.events_of(demo.play(DAY))
    assert [draft.wall_ns for draft in drafts] == sorted(draft.wall_ns for draft in drafts)
    text = "".join(envelope(draft, Source("s", "a", "e"), 1) for draft in drafts)
    assert "622000******" in text
