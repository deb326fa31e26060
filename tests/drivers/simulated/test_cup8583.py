"""The simulated UnionPay terminal and its host, played against each other; the book of the line knows the truth."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.events import TransactionData
from agent.payments import Tick
from drivers.cup8583 import DRIVER
from drivers.driver import Action, Framing, HangUp, Log, Scenario, Send, Simulation
from drivers.observations import Direction, Observation, Outcome, Request
from drivers.simulated.cup8583 import REVERSAL_TRIES, SimulatedCup8583
from drivers.simulated.cup8583_host import SimulatedHost
from tests.agent.lines import Play
from tests.agent.test_reversals import T

SECOND = 1_000_000_000
ENQ = b"\x05"


class Line:
    """A terminal and its host with a line between them, a listener on it, and a clock."""

    def __init__(
        self, *scenarios: Scenario, framing: Framing = Framing.SERIAL, program: tuple[str, ...] = ("sale",)
    ) -> None:
        self.settings = Simulation(scenarios=scenarios, framing=framing, currency="CNY")
        self.terminal = SimulatedCup8583(self.settings, program)
        self.host = SimulatedHost(self.settings)
        self.play = Play(T)
        self.seen: list[Observation] = []
        self.logs: list[tuple[str, Log]] = []
        self.cut = False  # the way to the host is cut
        self.now = 0.0
        self._decoder = DRIVER.decoder(framing)

    def pay(self) -> None:
        """The person at the terminal begins the next transaction; nothing is left to do when it returns."""
        self.now += 5
        self._heard(Direction.CASHIER, ENQ)
        self._do(Direction.TERMINAL, self.terminal.receive(ENQ, self.now))
        while due := [at for at in (self.terminal.deadline(), self.host.deadline()) if at is not None]:
            self.now = max(self.now, heapq.nsmallest(1, due)[0])
            self._tick()
            self._do(Direction.TERMINAL, self.terminal.tick(self.now))
            self._do(Direction.CASHIER, self.host.tick(self.now))
        self.now += 100
        self._tick()

    def events(self, who: str) -> list[str]:
        return [log.event for name, log in self.logs if name == who]

    def outcomes(self) -> dict[str, Outcome]:
        """What the book said last of each transaction, by its trace number."""
        return {
            draft.data.trace or "": draft.data.outcome
            for draft in self.play.drafts
            if isinstance(draft.data, TransactionData)
        }

    def _do(self, who: Direction, actions: Iterable[Action]) -> None:
        for action in actions:
            if isinstance(action, Log):
                self.logs.append(("terminal" if who is Direction.TERMINAL else "host", action))
            elif isinstance(action, HangUp):
                self._decoder.reset()
            elif isinstance(action, Send) and not self.cut:
                self._heard(who, action.data)
                other = self.host if who is Direction.TERMINAL else self.terminal
                self._do(who.opposite, other.receive(action.data, self.now))

    def _heard(self, who: Direction, data: bytes) -> None:
        self.play.now = int((1000 + self.now) * SECOND)
        for seen in self._decoder.feed(who, data):
            self.seen.append(seen)
            self.play.see(seen)

    def _tick(self) -> None:
        due = self.play.book.deadline_mono_ns
        if due is not None and due <= (1000 + self.now) * SECOND:
            self.play.now = due
            self.play.see(Tick())
        self.play.now = int((1000 + self.now) * SECOND)


#: all but the one whose outcome nobody can ever learn from the line
KNOWABLE = [scenario for scenario in Scenario if scenario is not Scenario.UNSURE]


@given(
    scenarios=st.lists(st.sampled_from(KNOWABLE), min_size=1, max_size=8), framing=st.sampled_from(list(Framing)[1:])
)
@settings(deadline=None, max_examples=60)
def test_once_another_sale_went_through_the_book_knows_who_was_charged(
    scenarios: list[Scenario], framing: Framing
) -> None:
    line = Line(*scenarios, Scenario.APPROVE, framing=framing)
    for _ in range(len(scenarios) + 1):
        line.pay()
    charged = {trace for (_, _, trace), amount in line.host._charged.items() if amount}
    said = line.outcomes()
    assert {trace for trace, outcome in said.items() if outcome is Outcome.APPROVED} == charged
    assert Outcome.UNKNOWN not in said.values()
    assert line.play.book.unknown == ()


@pytest.mark.parametrize("scenario", list(Scenario))
def test_each_scenario_ends_once_for_the_terminal(scenario: Scenario) -> None:
    line = Line(scenario)
    line.pay()
    ends = [
        event for event in line.events("terminal") if event in ("charged", "declined", "cancelled", "silent", "busy")
    ]
    assert len(ends) == 1
    taken = scenario not in (Scenario.BUSY, Scenario.CANCEL)
    assert line.events("terminal").count("requested") == (scenario is not Scenario.BUSY)
    assert len([seen for seen in line.seen if isinstance(seen, Request)]) == taken


@pytest.mark.parametrize("scenario", [Scenario.LOST, Scenario.LATE, Scenario.BROKEN, Scenario.REBOOT])
def test_a_charge_that_the_terminal_does_not_know_of_is_undone_before_the_next_sale(scenario: Scenario) -> None:
    line = Line(scenario, Scenario.APPROVE)
    line.pay()
    assert line.host.charged == 12850
    line.pay()
    assert line.host.charged == 3550
    assert line.events("host").count("reversed") == 1
    reversal, sale = [seen for seen in line.seen if isinstance(seen, Request)][-2:]
    assert (reversal.message, reversal.facts.trace) == ("reversal", "000001")
    assert (sale.message, sale.facts.trace) == ("sale", "000002")


def test_a_reversal_without_an_answer_is_tried_three_times_and_dropped() -> None:
    line = Line(Scenario.LOST, Scenario.APPROVE)
    line.pay()
    line.cut = True
    line.pay()
    line.cut = False
    assert line.events("terminal").count("reversal_sent") == REVERSAL_TRIES
    assert "reversal_dropped" in line.events("terminal")
    assert line.host.charged == 12850


def test_a_day_balances_when_the_doubts_were_undone() -> None:
    line = Line(Scenario.LOST, Scenario.APPROVE, Scenario.APPROVE, program=("sale", "sale", "settlement"))
    for _ in range(3):
        line.pay()
    settlement = next(seen for seen in line.seen if type(seen).__name__ == "Settlement")
    assert settlement.balanced is True  # type: ignore[attr-defined]


def test_a_day_with_a_charge_that_the_terminal_never_learnt_of_does_not_balance() -> None:
    """98 is an answer, so the terminal keeps no reversal; the host has charged."""
    line = Line(Scenario.UNSURE, Scenario.APPROVE, program=("sale", "settlement"))
    line.pay()
    line.pay()
    settlement = next(seen for seen in line.seen if type(seen).__name__ == "Settlement")
    assert settlement.balanced is False  # type: ignore[attr-defined]
    assert line.outcomes()["000001"] is Outcome.UNKNOWN


def test_the_other_way_round_the_host_is_the_device() -> None:
    """A terminal that dials into the PC: requests come from the cashier's side, answers from the device's."""
    line = Line(Scenario.LOST, Scenario.APPROVE)
    line.pay()
    line.pay()
    turned = Play(T)
    at = 1000
    for seen in line.seen:
        at += 30
        turned.now = at * SECOND
        turned.see(Tick(), replace(seen, direction=seen.direction.opposite))
    told = {d.data.trace: d.data.outcome for d in turned.drafts if isinstance(d.data, TransactionData)}
    assert told == {"000001": Outcome.REVERSED, "000002": Outcome.APPROVED}
