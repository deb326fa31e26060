"""The patient's proof: the right words for each state, nothing from outside, nothing that could run."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import Agent, Confirm, Proof
from agent.events import AskedData, Call, Certainty, EventType, Reason, TransactionData, WarningKind
from agent.frozen import to_plain
from agent.history import Told
from agent.payments import PortClosed, transaction_data
from agent.proof import About, Standing, page, standing
from agent.texts import LANGUAGES, Texts
from drivers.observations import Kind, Outcome
from drivers.queries import Query, Said
from tests.agent.lines import TERMS, Play, request

NOW = datetime(2026, 11, 24, 12, 0, 0)
ABOUT = About(
    Agent(id="cashier-07", site="outpatient-1", state_dir=Path("/s"), run_dir=Path("/r"), language="en"),
    Proof(hospital="第一人民医院", contact="finance office, 555-0100"),
    Confirm(first_delay_s=5, max_delay_s=300, give_up_after_s=86_400, quiet_s=2, escalate_after_s=900),
)


def in_doubt() -> TransactionData:
    play = Play()
    play.see(request(3550), PortClosed())
    return transaction_data(play.book.unknown[0], TERMS)


DOUBT = in_doubt()
SETTLED = replace(DOUBT, final=True, outcome=Outcome.APPROVED, charged=Certainty.YES, how="repeat_receipt")


def event(kind: EventType, data: TransactionData, time: str = "2026-11-24T11:58:00.000+00:00") -> Told:
    return Told(1, str(kind), time, to_plain(data))


class Text(HTMLParser):
    """What a reader sees, and every attribute that a browser might follow."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self._hidden = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._hidden = tag == "style"
        self.links += [name for name, _ in attrs if name in ("src", "href", "action") or name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._hidden else data


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (DOUBT, Standing.UNKNOWN_ASKING),
        (replace(DOUBT, call=Call.FIRST), Standing.UNKNOWN_ASKING),
        (replace(DOUBT, call=Call.FINAL), Standing.UNKNOWN_PEOPLE),
        (replace(DOUBT, reason=None), Standing.OPEN),
        (replace(SETTLED, delivered=Certainty.NO), Standing.PAID_UNBOOKED),
        (replace(SETTLED, delivered=Certainty.YES), Standing.PAID),
        (replace(SETTLED, outcome=Outcome.DECLINED, charged=Certainty.NO), Standing.NOT_PAID),
        (replace(SETTLED, outcome=Outcome.NOT_EXECUTED, charged=Certainty.NO), Standing.NOT_PAID),
        (replace(SETTLED, outcome=Outcome.REVERSED, charged=Certainty.NO), Standing.REVERSED),
        (replace(SETTLED, kind=Kind.REFUND), Standing.REFUNDED),
        (replace(SETTLED, kind=Kind.VOID, outcome=Outcome.DECLINED, charged=Certainty.NO), Standing.NOT_REFUNDED),
        (replace(DOUBT, kind=Kind.REFUND), Standing.REFUND_UNKNOWN),
    ],
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_each_state_has_its_own_words(data: TransactionData, expected: Standing, language: str) -> None:
    assert standing(data) is expected
    texts = Texts(language)
    pending = event(EventType.TRANSACTION_PENDING, DOUBT)
    seen = Text(page(data, [pending], ABOUT, texts, NOW)).text
    assert texts.say(f"proof.{expected}") in seen
    assert "35.50 CNY" in seen
    assert data.transaction in seen
    assert "第一人民医院" in seen
    assert "finance office, 555-0100" in seen
    assert not re.search(r"proof\.|history\.|[{}]", seen)


def test_it_says_until_when_and_from_when_people_see_to_it() -> None:
    began = event(EventType.TRANSACTION_PENDING, DOUBT, "2026-11-24T11:58:00.000+00:00")
    seen = Text(page(DOUBT, [began], ABOUT, Texts("en"), NOW)).text
    assert "2026-11-25 11:58" in seen
    assert "2026-11-24 12:13" in seen


def test_it_shows_what_was_asked_and_answered_in_order() -> None:
    asked = AskedData("2026-11-24T11:59:00.000+00:00", Query.LAST_RESULT, Said.BUSY, "9C")
    told = [
        event(EventType.TRANSACTION_STARTED, DOUBT, "2026-11-24T11:57:00.000+00:00"),
        event(EventType.TRANSACTION_PENDING, DOUBT, "2026-11-24T11:58:00.000+00:00"),
    ]
    seen = Text(page(replace(DOUBT, asked=(asked,)), told, ABOUT, Texts("en"), NOW)).text
    places = [seen.index(words) for words in ("request went to the terminal", "outcome unknown", "busy (code 9C)")]
    assert places == sorted(places)


def test_a_warning_stands_out() -> None:
    warned = replace(DOUBT, warning=WarningKind.POSSIBLE_DOUBLE_CHARGE, related="01OTHER")
    seen = Text(page(DOUBT, [event(EventType.TRANSACTION_WARNING, warned)], ABOUT, Texts("en"), NOW)).text
    assert "01OTHER" in seen
    assert "double charge" in seen


@given(
    st.text(max_size=60) | st.sampled_from(["<script>alert(1)</script>", "</pre><img src=x onerror=y>", "{{ 7*7 }}"])
)
def test_whatever_a_terminal_prints_is_text(line: str) -> None:
    receipt = Told(
        2, str(EventType.RECEIPT_CAPTURED), "2026-11-24T11:58:01.000+00:00", {"receipt_kind": None, "text": [line]}
    )
    html = page(SETTLED, [receipt], ABOUT, Texts("en"), NOW)
    parsed = Text(html)
    assert "script" not in parsed.tags
    assert "img" not in parsed.tags
    assert parsed.links == []
    assert line in parsed.text


def test_it_loads_nothing() -> None:
    html = page(DOUBT, [], ABOUT, Texts("zh-CN"), NOW)
    assert Text(html).links == []
    assert "url(" not in html
    assert "default-src 'none'" in html
    assert html.startswith('<!DOCTYPE html>\n<html lang="zh-CN">')


def test_without_a_known_terminal_no_time_is_promised() -> None:
    seen = Text(page(DOUBT, [], replace(ABOUT, confirm=None), Texts("en"), NOW)).text
    assert "until - at the latest" in seen


def test_reasons_are_told_in_words() -> None:
    for reason in Reason:
        told = event(EventType.TRANSACTION_PENDING, replace(DOUBT, reason=reason))
        assert Texts("en").say(f"history.reason_{reason}") in Text(page(DOUBT, [told], ABOUT, Texts("en"), NOW)).text
