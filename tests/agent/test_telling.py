"""What people read about a transaction: nothing that is not known, everything in their language."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from agent.events import AskedData, Call, EventType, Reason, WarningKind
from agent.frozen import to_plain
from agent.history import Told
from agent.payments import PortClosed, Scheduled, transaction_data
from agent.telling import clock, facts, next_ask, question, step
from agent.texts import LANGUAGES, Texts
from drivers.queries import Query, Said
from tests.agent.lines import SECOND, TERMS, Play, answer, cashier_ack, request


def doubtful() -> Play:
    play = Play()
    play.see(request(), PortClosed())
    return play


DOUBT = transaction_data(doubtful().book.unknown[0], TERMS)


def told(kind: EventType, **changes: object) -> Told:
    return Told(1, str(kind), "2026-11-24T12:00:00.000+08:00", to_plain(replace(DOUBT, **changes)))  # type: ignore[arg-type]


def test_only_known_facts_are_told() -> None:
    shown = facts(DOUBT, Texts("en"))
    assert shown["amount"] == "12.34 CNY"
    assert shown["outcome"] == "UNKNOWN"
    assert "card" not in shown
    assert "trace" not in shown


def test_an_exchange_under_way_has_no_outcome_yet() -> None:
    play = Play()
    play.see(request())
    assert play.book.current is not None
    assert facts(transaction_data(play.book.current, TERMS), Texts("en"))["outcome"] == "not known yet"


def test_a_response_code_comes_with_its_meaning() -> None:
    play = Play()
    play.see(request(), answer(code="0"), cashier_ack())
    assert play.book.current is not None
    shown = facts(transaction_data(play.book.current, TERMS), Texts("zh-CN"))
    assert shown["response"].startswith("0 ")
    assert shown["card"] == "497554******4970 Visa"


def test_people_who_were_called_are_told_until_it_is_settled() -> None:
    assert "call" in facts(replace(DOUBT, call=Call.FIRST), Texts("en"))
    assert "call" not in facts(replace(DOUBT, call=Call.FIRST, final=True), Texts("en"))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("said", list(Said))
@pytest.mark.parametrize("query", list(Query))
def test_every_question_has_words(query: Query, said: Said, language: str) -> None:
    line = question(AskedData("2026-11-24T12:00:00.000+08:00", query, said, "9C"), Texts(language))
    assert "history." not in line
    assert "9C" in line


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", [kind for kind in EventType if kind.startswith("transaction.")])
def test_every_event_of_a_transaction_has_words(kind: EventType, language: str) -> None:
    for call in (Call.FIRST, Call.FINAL):
        for warning in WarningKind:
            line = step(told(kind, call=call, warning=warning, related="01X", reason=Reason.LINK_LOST), Texts(language))
            assert "history." not in line
            assert "{" not in line


def test_times_are_those_of_the_event() -> None:
    assert clock("2026-11-24T12:00:00.123+08:00") == "2026-11-24 12:00:00"


def test_the_next_question_is_told_when_there_is_one() -> None:
    play = doubtful()
    assert next_ask(play.book.unknown[0]) is None
    play.see(Scheduled(play.book.unknown[0].id, time.monotonic_ns() + 3600 * SECOND))
    assert next_ask(play.book.unknown[0]) is not None
    assert next_ask(None) is None
