"""A terminal that is asked by its profile: only the one message, no money, and what its answer proves."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.driver import Scenario
from drivers.observations import Direction, Outcome, Request
from drivers.profiles.decoder import ProfileDecoder
from drivers.profiles.driver import code_book, driver_of
from drivers.profiles.errors import ProfileError
from drivers.profiles.schema import Profile
from drivers.queries import Asking, Finding, Policy, Query, QueryLine, Said, Word
from tests.drivers.profiles.sample import sample
from tests.drivers.simulated.test_profile import Table

LINE = QueryLine("serial", "CNY")
PROVES_STATUS = sample(('proves = "code" }', 'proves = "status" }'))


def asking_of(profile: Profile) -> Asking:
    asking = driver_of(profile).asking
    assert asking is not None
    return asking


class Asked(Table):
    """A table that remembers what the terminal sent."""

    def __init__(self, profile: Profile, *scenarios: Scenario) -> None:
        self.said: list[bytes] = []
        super().__init__(profile, *scenarios)

    def hear(self, actions: object) -> None:
        self.said += [action.data for action in actions if hasattr(action, "data")]  # type: ignore[attr-defined]
        super().hear(actions)


def ask(table: Asked) -> Finding:
    """A whole conversation, as agent.confirm leads it."""
    asking = asking_of(table.profile)
    talk = asking.converse(Query.LAST_RESULT, LINE)
    words: Sequence[Word] = talk.begin()
    table.seen.clear()
    for _ in range(20):
        heard = len(table.seen)
        for word in words:
            table.say(asking.words(LINE)[word])
        if talk.done:
            return asking.finding(table.seen + table.decoder.finish())
        due = table.terminal.deadline()
        if due is not None and len(table.seen) == heard:
            table.now = due
            table.hear(table.terminal.tick(due))
        words = talk.hear(b"".join(table.said))
        table.said.clear()
    return asking.finding(table.seen)


def test_all_that_can_be_said_is_the_question_and_control_bytes() -> None:
    table = asking_of(sample()).words(LINE)
    assert set(table) == {Word.ASK_LAST_RESULT, Word.ACKNOWLEDGE, Word.LINK_NAK}
    (asked,) = ProfileDecoder(sample(), code_book(sample())).feed(Direction.CASHIER, table[Word.ASK_LAST_RESULT])
    assert isinstance(asked, Request)
    assert (asked.kind, asked.message, asked.facts.amount) == (None, "last transaction", 0)


def test_it_finds_the_payment_whose_answer_was_lost() -> None:
    table = Asked(sample(), Scenario.LOST)
    table.pay(4400)
    table.said.clear()
    finding = ask(table)
    assert (finding.said, finding.outcome, finding.facts.amount) == (Said.TRANSACTION, Outcome.APPROVED, 4400)
    assert table.events[-1] == "delivered"


def test_a_terminal_without_a_transaction_refuses() -> None:
    assert ask(Asked(sample(), Scenario.APPROVE)).said is Said.REFUSED


def test_where_only_a_status_would_prove_something_a_code_settles_nothing() -> None:
    table = Asked(PROVES_STATUS, Scenario.LOST)
    table.pay(4400)
    table.said.clear()
    assert ask(table).said is Said.REFUSED


@pytest.mark.parametrize(
    "sets",
    [
        '{ type = "00", amount = "000000000000", random = "000" }',
        '{ type = "07", amount = "000000000001" }',
        '{ type = "66" }',
    ],
    ids=["a sale", "an amount", "an unknown code"],
)
def test_a_question_that_could_move_money_is_refused(sets: str) -> None:
    profile = sample(('{ type = "07", amount = "000000000000", random = "000" }', sets))
    with pytest.raises(ProfileError, match="question moves money"):
        driver_of(profile)


def test_a_question_that_prints_is_only_watched() -> None:
    assert asking_of(sample()).policy is Policy.ASK
    assert (
        asking_of(sample(('proves = "code"\nbecause', 'proves = "code"\nwatch = true\nbecause'))).policy is Policy.WATCH
    )


@given(pieces=st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([b"\x06", b"\x15", b"\x02"])), max_size=12))
@settings(max_examples=100, deadline=None)
def test_whatever_a_terminal_says_only_words_are_answered(pieces: list[bytes]) -> None:
    asking = asking_of(sample())
    talk = asking.converse(Query.LAST_RESULT, LINE)
    talk.begin()
    for piece in pieces:
        said = talk.hear(piece)
        assert set(said) <= asking.words(LINE).keys()
        assert len(said) <= len(piece)
    assert talk.interrupt() == []
