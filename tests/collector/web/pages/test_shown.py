"""Amounts, times, ages and spans as people read them, in a zone and at a time that the test says."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from collector.texts import Texts
from collector.web.pages.shown import Shown, us_of

S = 1_000_000
NOW = us_of("2026-03-05T09:30:00+00:00")
SHANGHAI = Shown(Texts("en"), ZoneInfo("Asia/Shanghai"), NOW)


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (128050, "CNY", "¥1,280.50"), (5, "CNY", "¥0.05"), (-9000, "CNY", "−¥90.00"), (3550, "EUR", "€35.50"),
        (3550, "CHF", "35.50 CHF"), (3550, "JPY", "3,550 JPY"), (3550, None, "35.50"), (None, "CNY", "–"),
    ],
)  # fmt: skip
def test_money(amount: int | None, currency: str | None, shown: str) -> None:
    assert SHANGHAI.money(amount, currency) == shown


def test_times_are_of_the_zone_and_only_as_long_as_they_must_be() -> None:
    assert SHANGHAI.clock(NOW) == "17:30:00"
    assert SHANGHAI.clock(us_of("2026-03-04T15:59:59+00:00")) == "03-04 23:59"
    assert SHANGHAI.clock(us_of("2026-03-04T16:00:00+00:00")) == "00:00:00", "today in Shanghai"
    assert SHANGHAI.clock(us_of("2025-12-31T12:00:00+08:00")) == "2025-12-31 12:00"
    assert SHANGHAI.moment(NOW) == "2026-03-05 17:30:00"
    assert SHANGHAI.midnight_us() == us_of("2026-03-05T00:00:00+08:00")
    assert SHANGHAI.told("2026-03-05T09:30:00+00:00") == "2026-03-05 17:30:00"
    assert SHANGHAI.told("soon") == "soon"


def test_a_day_is_as_long_as_it_is_there() -> None:
    berlin = Shown(Texts("en"), ZoneInfo("Europe/Berlin"), NOW)
    begin, end = berlin.day_us("2026-03-29")  # the clocks go forward
    assert end - begin == 23 * 3600 * S
    with pytest.raises(ValueError, match="does not match"):
        berlin.day_us("tomorrow")


def test_what_a_field_gives_back_is_the_time_that_it_showed() -> None:
    assert SHANGHAI.local_us(SHANGHAI.field(NOW)) == NOW
    assert SHANGHAI.local_us("  ") is None
    with pytest.raises(ValueError, match="Invalid isoformat"):
        SHANGHAI.local_us("noon")


def test_charts_count_the_clock_on_the_wall() -> None:
    assert datetime.fromtimestamp(SHANGHAI.axis(NOW), UTC).strftime("%H:%M") == "17:30"


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [
        (0.39, "0.4 s", "0.4 秒"), (59, "59 s", "59 秒"), (119, "119 s", "119 秒"), (120, "2 min", "2 分钟"),
        (3599, "59 min", "59 分钟"), (3660, "1 h 01 min", "1 小时 01 分"), (90000, "1 d 1 h", "1 天 1 小时"),
        (864000, "10 d", "10 天"),
    ],
)  # fmt: skip
def test_spans(seconds: float, english: str, chinese: str) -> None:
    assert SHANGHAI.lasted(round(seconds * S)) == english
    assert Shown(Texts("zh-CN"), ZoneInfo("Asia/Shanghai"), NOW).lasted(round(seconds * S)) == chinese


def test_ages_have_a_colour_and_due_times_a_direction() -> None:
    assert [SHANGHAI.worry(NOW - minutes * 60 * S) for minutes in (0, 1, 2, 14, 15)] == [
        "fresh", "fresh", "warm", "warm", "hot",
    ]  # fmt: skip
    assert SHANGHAI.until(NOW + 7200 * S) == "in 2 h 00 min"
    assert SHANGHAI.until(NOW - 7200 * S) == "2 h 00 min overdue"
    assert SHANGHAI.ago(None) == "never"
    assert SHANGHAI.age(NOW + S) == "0.0 s", "clocks apart are no ages below nothing"


def test_without_a_zone_the_machines_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/Los_Angeles")
    time.tzset()
    try:
        here = Shown(Texts("en"), None, NOW)
        assert here.moment(NOW) == "2026-03-05 01:30:00"
        assert here.local_us(here.field(NOW)) == NOW
        assert here.midnight_us() == us_of("2026-03-05T00:00:00-08:00")
    finally:
        monkeypatch.undo()
        time.tzset()
