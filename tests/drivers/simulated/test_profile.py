"""The simulated terminal of any profile: each scenario, heard by the same profile's decoder."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers import registry
from drivers.driver import HangUp, Log, Scenario, Send, Simulation
from drivers.observations import Answer, Direction, Noise, Observation, Outcome
from drivers.profiles.decoder import ProfileDecoder
from drivers.profiles.driver import code_book, driver_of
from drivers.profiles.load import load
from drivers.profiles.schema import Fact, Profile, Style
from tests.drivers.profiles.sample import sample
from tests.logs.profile_cashier import Words

CALL = load(Path(__file__).parents[1] / "profiles" / "call.toml")
PROFILES = [load(path) for _, path in sorted(registry.profiles().items())] + [sample(), CALL]
each = pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: str(profile.name))


class Table:
    """Terminal, cashier application and listener on the test's clock."""

    def __init__(self, profile: Profile, *scenarios: Scenario) -> None:
        self.profile = profile
        self.words = Words(profile)
        self.decoder = ProfileDecoder(profile, code_book(profile))
        simulated = driver_of(profile).simulated
        assert simulated is not None
        self.terminal = simulated(Simulation(scenarios=scenarios, card="6200000000000005", currency="CNY"))
        self.now = 100.0
        self.seen: list[Observation] = []
        self.events: list[str] = []
        self.hung_up = False

    def pay(self, amount: int = 1285, code: str | None = None, take: bool = True) -> list[Answer]:
        """Ask, and let the clock run until the terminal has nothing left to do."""
        before = len(self.seen)
        self.say(self.words.request(amount, code=code))
        taken = False
        for _ in range(60):
            if take and not taken and self.answers(before) and self.profile.framing.acknowledged:
                taken = True
                self.say(self.words.acknowledgement())
            due = self.terminal.deadline()
            if due is None:
                break
            self.now = max(self.now, due)
            self.hear(self.terminal.tick(self.now))
        if self.profile.framing.style is Style.CALL:
            self.seen += self.decoder.finish()  # the line is quiet
        return self.answers(before)

    def answers(self, since: int = 0) -> list[Answer]:
        return [seen for seen in self.seen[since:] if isinstance(seen, Answer)]

    def say(self, data: bytes) -> None:
        self.seen += self.decoder.feed(Direction.CASHIER, data)
        self.hear(self.terminal.receive(data, self.now))

    def hear(self, actions: object) -> None:
        for action in actions:  # type: ignore[attr-defined]
            if isinstance(action, Send):
                self.seen += self.decoder.feed(Direction.TERMINAL, action.data)
            elif isinstance(action, Log):
                self.events.append(action.event)
            elif isinstance(action, HangUp):
                self.hung_up = True


def expected(profile: Profile, outcome: Outcome) -> Outcome:
    return Outcome.UNKNOWN if profile.opaque else outcome


@each
def test_an_approval_bears_the_facts_of_the_payment(profile: Profile) -> None:
    table = Table(profile, Scenario.APPROVE)
    (answer,) = table.pay()
    assert answer.outcome is expected(profile, Outcome.APPROVED)
    if any(field.fact is Fact.AMOUNT for layout in profile.layouts.values() for field in layout.fields):
        assert answer.facts.amount == 1285
        assert answer.facts.card is None or answer.facts.card.last4 in (None, "0005")
    assert "charged" in table.events
    assert ("delivered" in table.events) is profile.framing.acknowledged


@each
def test_a_refusal_charges_nobody(profile: Profile) -> None:
    table = Table(profile, Scenario.DECLINE)
    (answer,) = table.pay()
    assert answer.outcome is expected(profile, Outcome.DECLINED)
    assert "charged" not in table.events


@each
def test_a_result_that_does_not_say_so_is_unknown(profile: Profile) -> None:
    table = Table(profile, Scenario.UNSURE)
    (answer,) = table.pay()
    assert answer.outcome is not Outcome.APPROVED
    assert "charged" in table.events


@each
@pytest.mark.parametrize("scenario", [Scenario.SILENT, Scenario.LOST, Scenario.REBOOT])
def test_no_answer_comes(profile: Profile, scenario: Scenario) -> None:
    table = Table(profile, scenario)
    assert table.pay() == []
    assert table.hung_up is (scenario is Scenario.REBOOT)
    assert ("charged" in table.events) is (scenario is not Scenario.SILENT)


@each
def test_behind_garbage_the_answer_comes_whole(profile: Profile) -> None:
    table = Table(profile, Scenario.GARBAGE)
    answers = table.pay()
    if profile.framing.acknowledged:
        assert [answer.outcome for answer in answers] == [expected(profile, Outcome.APPROVED)]
        assert any(isinstance(seen, Noise) for seen in table.seen)
    else:
        assert not any(answer.outcome is Outcome.APPROVED for answer in answers)


@each
def test_an_answer_that_nobody_takes_is_undelivered(profile: Profile) -> None:
    table = Table(profile, Scenario.APPROVE)
    answers = table.pay(take=False)
    assert ("undelivered" in table.events) is profile.framing.acknowledged
    assert len(answers) == (3 if profile.framing.acknowledged else 1)


@each
def test_a_busy_terminal_is_free_the_next_time(profile: Profile) -> None:
    table = Table(profile, Scenario.BUSY, Scenario.APPROVE)
    assert table.pay() == []
    assert "busy" in table.events
    assert len(table.pay()) == 1


def test_asked_for_its_last_transaction_it_shows_the_one_whose_answer_was_lost() -> None:
    table = Table(sample(), Scenario.LOST)
    assert table.pay(4400) == []
    (answer,) = table.pay(0, code="07")
    assert (answer.outcome, answer.facts.amount, answer.facts.trace) == (Outcome.APPROVED, 4400, "000001")


def test_a_query_that_only_works_shows_nothing() -> None:
    table = Table(sample(), Scenario.LOST)
    table.pay(4400)
    (answer,) = table.pay(0, code="05")
    assert (answer.outcome, answer.facts.trace) == (None, None)


def test_asked_before_any_payment_it_has_nothing_to_show() -> None:
    (answer,) = Table(sample(), Scenario.APPROVE).pay(0, code="07")
    assert answer.outcome is Outcome.DECLINED


def test_a_call_shows_the_status_of_the_payment() -> None:
    table = Table(CALL, Scenario.LOST)
    table.pay(4400)
    (answer,) = table.pay(0, code="09")
    assert (answer.outcome, answer.facts.amount) == (Outcome.APPROVED, 4400)
