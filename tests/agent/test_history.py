"""The journal read for people: whatever they type is a filter, or one line that says what it should look like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from agent.errors import NothingFoundError, UsageError
from agent.history import Filter, History, parse_amount, parse_moment
from agent.journal import Journal
from tests.agent.lines import Play, answer, cashier_ack, request

NOW_S = datetime(2026, 11, 24, 12, 0).astimezone().timestamp()
SECOND_NS = 1_000_000_000


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    """A journal with one payment, of trace number 000123."""
    play = Play()
    said = answer()
    play.see(request(), replace(said, facts=replace(said.facts, trace="000123")), cashier_ack())
    journal = Journal(tmp_path, "site", "pc-1")
    journal.commit(play.drafts, {"pos1": play.book})
    journal.close()
    with History(tmp_path / "journal.sqlite") as opened:
        yield opened


@pytest.mark.parametrize("trace", ["000123", "123", "0123"])
def test_a_trace_number_is_found_with_and_without_its_leading_zeros(history: History, trace: str) -> None:
    (found,) = history.transactions(Filter(trace=trace))
    assert found.trace == "000123"
    assert list(history.transactions(Filter(trace="23"))) == []


def test_bytes_that_are_no_text_match_nothing(history: History) -> None:
    assert list(history.transactions(Filter(last4="\udcff"))) == []
    assert list(history.transactions(Filter(trace="\udcff"))) == []
    with pytest.raises(NothingFoundError):
        history.transaction("\udcff")


def test_times_as_people_write_them() -> None:
    now_ns = int(NOW_S * SECOND_NS)
    assert parse_moment("2h", NOW_S) == now_ns - 7200 * SECOND_NS
    assert parse_moment("today", NOW_S) == now_ns - 12 * 3600 * SECOND_NS
    assert parse_moment("2026-11-24T09:30", NOW_S) == now_ns - 9000 * SECOND_NS


def test_a_time_that_the_journal_can_not_reach_is_its_last(history: History) -> None:
    assert list(history.transactions(Filter(since_ns=parse_moment("9999-12-31")))) == []
    assert len(list(history.transactions(Filter(until_ns=parse_moment("9999-12-31"))))) == 1


@pytest.mark.parametrize("text", ["", "soon", "999999d", "2026-02-30", "-1h", "1w", "\udcff"])
def test_what_is_no_time_is_said(text: str) -> None:
    with pytest.raises(UsageError):
        parse_moment(text, NOW_S)


@pytest.mark.parametrize(("text", "units"), [("35.50", 3550), ("35", 3500), ("35,5", 3550), (" 0.01 ", 1)])
def test_amounts_as_people_write_them(text: str, units: int) -> None:
    assert parse_amount(text) == units


@pytest.mark.parametrize("text", ["", "-1", "1.234", "1e3", "35.50 CNY"])
def test_what_is_no_amount_is_said(text: str) -> None:
    with pytest.raises(UsageError):
        parse_amount(text)
