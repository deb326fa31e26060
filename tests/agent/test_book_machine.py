"""Whatever happens on a line, in whatever order: the book keeps its promises."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.events import Call, Certainty, EventType, TransactionData
from agent.frozen import from_plain, to_plain
from agent.payments import (
    Book,
    Booted,
    LinkDown,
    LinkUp,
    Missed,
    PortClosed,
    PortRefused,
    Replied,
    Scheduled,
    State,
    Tick,
    Waited,
)
from drivers.observations import Acked, Direction, Facts, Kind, Outcome, Phase, Reversal
from drivers.queries import Finding, Query, Said
from tests.agent.lines import TERMS, Play, answer, broken, cashier_ack, progress, request, terminal_ack
from tests.agent.test_reversals import T, said, sale, undo, undone

AMOUNTS = st.sampled_from([100, 250, None])
FINAL_TYPES = (EventType.TRANSACTION_COMPLETED, EventType.TRANSACTION_CONFIRMED)


class BookMachine(RuleBasedStateMachine):
    """Any sequence of what a line can show."""

    terms = TERMS

    @initialize()
    def begin(self) -> None:
        self.play = Play(self.terms)
        self.approved_amounts: set[int | None] = set()

    @rule(amount=AMOUNTS, kind=st.sampled_from([Kind.PURCHASE, Kind.REFUND, Kind.SETTLEMENT, None]))
    def cashier_asks(self, amount: int | None, kind: Kind | None) -> None:
        self.play.see(request(amount, kind))

    @rule(positive=st.booleans(), code=st.sampled_from([None, "83", "9C"]))
    def terminal_acknowledges(self, positive: bool, code: str | None) -> None:
        self.play.see(terminal_ack(positive, None if positive else code))

    @rule(outcome=st.sampled_from([*Outcome, None]), amount=AMOUNTS, final=st.booleans())
    def terminal_answers(self, outcome: Outcome | None, amount: int | None, final: bool) -> None:
        if outcome is Outcome.APPROVED:
            self.approved_amounts.add(amount)
        self.play.see(answer(outcome, amount, final))

    @rule(positive=st.booleans(), of=st.sampled_from(list(Acked)))
    def cashier_acknowledges(self, positive: bool, of: Acked) -> None:
        self.play.see(cashier_ack(positive, of))

    @rule(phase=st.sampled_from([None, *Phase]))
    def terminal_shows_life(self, phase: Phase | None) -> None:
        self.play.see(progress(phase))

    @rule(
        what=st.sampled_from(
            [LinkDown("gone"), LinkDown("busy"), LinkUp(), PortClosed(), PortRefused("8E1"), Missed(), broken()]
        )
    )
    def something_happens(self, what: object) -> None:
        self.play.see(what)

    @rule(seconds=st.sampled_from([0.1, 1, 50, 120]))
    def time_passes(self, seconds: float) -> None:
        self.play.wait(seconds)
        self.play.see(Tick())

    @rule(
        said=st.sampled_from(list(Said)),
        query=st.sampled_from(list(Query)),
        outcome=st.sampled_from([*Outcome, None]),
        amount=AMOUNTS,
        trace=st.sampled_from([None, "000001", "000002"]),
    )
    def terminal_is_asked(
        self, said: Said, query: Query, outcome: Outcome | None, amount: int | None, trace: str | None
    ) -> None:
        if said is Said.TRANSACTION and outcome is Outcome.APPROVED:
            self.approved_amounts.add(amount)
        facts = Facts(amount=amount, trace=trace)
        self.play.see(Replied(Finding(query=query, said=said, facts=facts, outcome=outcome)))

    @rule(anyway=st.booleans())
    def a_question_is_planned(self, anyway: bool) -> None:
        for payment in self.play.book.unknown:
            self.play.see(Scheduled(payment.id, self.play.now, TERMS.asks if anyway else ()))

    @rule(seconds=st.sampled_from([1, 1000, 90_000]))
    def time_passes_without_the_bridge(self, seconds: float) -> None:
        self.play.wait(seconds)
        self.play.see(Waited())

    @rule(boot=st.sampled_from(["one", "two"]))
    def machine_boots(self, boot: str) -> None:
        self.play.see(Booted(boot))

    @rule()
    def agent_restarts(self) -> None:
        """What the journal keeps is the same book again."""
        kept = json.loads(json.dumps(to_plain(self.play.book)))
        assert from_plain(Book, kept) == self.play.book
        self.play.book = from_plain(Book, kept)

    @invariant()
    def outcomes_never_change(self) -> None:
        outcomes: dict[str, Outcome] = {}
        for data in self.told(*FINAL_TYPES):
            before = outcomes.get(data.transaction, data.outcome)
            undone = data.how in ("reversal", "settlement_total") and before is Outcome.APPROVED and self.terms.reverses
            assert before is data.outcome or undone
            outcomes[data.transaction] = data.outcome
            assert data.outcome is not Outcome.UNKNOWN
            assert data.final

    @invariant()
    def every_transaction_starts_once_and_before_all_else(self) -> None:
        started: set[str] = set()
        for draft in self.play.drafts:
            if not isinstance(draft.data, TransactionData):
                continue
            if draft.type is EventType.TRANSACTION_STARTED:
                assert draft.data.transaction not in started
                started.add(draft.data.transaction)
            assert draft.data.transaction in started

    @invariant()
    def every_doubt_is_kept_until_it_is_settled(self) -> None:
        doubtful = {data.transaction for data in self.told(EventType.TRANSACTION_PENDING)}
        settled = {data.transaction for data in self.told(*FINAL_TYPES)}
        kept = {payment.id for payment in self.play.book.unknown}
        being_delivered = {self.play.book.current.id} if self.play.book.current else set()
        assert doubtful - settled <= kept | being_delivered

    @invariant()
    def every_doubt_is_being_asked_about_or_in_peoples_hands(self) -> None:
        for payment in self.play.book.unknown:
            assert payment.doubt is not None
            hope = self.terms.reverses or any(query.proves for query in payment.doubt.asks_left)
            assert hope or payment.doubt.call is Call.FINAL

    @invariant()
    def people_are_called_once_each_time(self) -> None:
        """Once each doubt: a payment that is undone after its approval is in doubt once more."""
        calls: set[tuple[str, Call | None]] = set()
        for draft in self.play.drafts:
            if not isinstance(draft.data, TransactionData):
                continue
            if draft.type is EventType.TRANSACTION_PENDING:
                calls -= {(draft.data.transaction, call) for call in (*Call, None)}
            if draft.type is EventType.TRANSACTION_ESCALATED:
                assert (draft.data.transaction, draft.data.call) not in calls
                calls.add((draft.data.transaction, draft.data.call))

    @invariant()
    def a_warning_names_another_transaction(self) -> None:
        for data in self.told(EventType.TRANSACTION_WARNING):
            assert data.warning is not None
            assert data.related not in (None, data.transaction)

    @invariant()
    def nobody_is_charged_without_an_approval_on_the_line(self) -> None:
        for data in self.told(*FINAL_TYPES):
            if data.charged is Certainty.YES:
                assert {data.amount, None} & self.approved_amounts or data.amount is None

    @invariant()
    def a_confirmed_one_was_in_doubt(self) -> None:
        doubtful = {data.transaction for data in self.told(EventType.TRANSACTION_PENDING)}
        assert {data.transaction for data in self.told(EventType.TRANSACTION_CONFIRMED)} <= doubtful

    @invariant()
    def a_waiting_payment_has_a_deadline(self) -> None:
        waiting = self.play.book.state in (State.OPEN, State.ANSWERED)
        assert (self.play.book.deadline_mono_ns is not None) == waiting

    def teardown(self) -> None:
        """A day later, whatever happened: every doubt is settled or in somebody's hands."""
        if not hasattr(self, "play"):
            return
        self.play.wait(90_000)
        self.play.see(Tick())
        self.play.wait(90_000)
        self.play.see(Tick())
        assert all(p.doubt and p.doubt.call is Call.FINAL for p in self.play.book.unknown)
        doubtful = {data.transaction for data in self.told(EventType.TRANSACTION_PENDING)}
        ended = {data.transaction for data in self.told(*FINAL_TYPES, EventType.TRANSACTION_ESCALATED)}
        assert doubtful <= ended

    def told(self, *kinds: EventType) -> list[TransactionData]:
        return [
            draft.data for draft in self.play.drafts if draft.type in kinds and isinstance(draft.data, TransactionData)
        ]


TRACES = st.integers(1, 4)
SIDES = st.sampled_from([Direction.TERMINAL, Direction.TERMINAL, Direction.CASHIER])


class ReversalMachine(BookMachine):
    """The same promises where a terminal undoes its own payments, nobody acknowledges, and numbers name a payment."""

    terms = T

    @initialize()
    def begin(self) -> None:
        super().begin()
        self.reversed: set[str] = set()

    @rule(trace=TRACES, amount=st.sampled_from([100, 250]), kind=st.sampled_from([Kind.PURCHASE, Kind.VOID]), by=SIDES)
    def a_payment_begins(self, trace: int, amount: int, kind: Kind, by: Direction) -> None:
        self.play.see(replace(sale(trace, amount, kind), direction=by))

    @rule(trace=TRACES, amount=st.sampled_from([100, 250]), outcome=st.sampled_from(list(Outcome)), by=SIDES)
    def an_answer_comes(self, trace: int, amount: int, outcome: Outcome, by: Direction) -> None:
        if outcome is Outcome.APPROVED:
            self.approved_amounts.add(amount)
        self.play.see(replace(said(trace, outcome, amount), direction=by))

    @rule(trace=TRACES, amount=st.sampled_from([100, 250]), why=st.sampled_from(list(Reversal)))
    def the_terminal_undoes(self, trace: int, amount: int, why: Reversal) -> None:
        before = self.final()
        self.play.see(undo(trace, amount, why))
        assert self.final() == before  # to ask for it settles nothing

    @rule(
        trace=TRACES,
        amount=st.sampled_from([100, 250, None]),
        outcome=st.sampled_from([Outcome.REVERSED, Outcome.NOT_EXECUTED, Outcome.UNKNOWN]),
    )
    def the_host_answers_a_reversal(self, trace: int, amount: int | None, outcome: Outcome) -> None:
        named = {p.id for p in self.play.book.unknown if p.facts.trace in (f"{trace:06d}", None)}
        if (current := self.play.book.current) is not None:
            named.add(current.id)
        before, known = self.final(), {data.transaction for data in self.told(EventType.TRANSACTION_STARTED)}
        self.play.see(undone(trace, outcome, amount))
        changed = {id: after for id, after in self.final().items() if before.get(id) is not after}
        assert len(changed) <= 1
        assert set(changed) <= named | ({*changed} - known)
        assert set(changed.values()) <= {outcome}
        assert outcome is not Outcome.UNKNOWN or not changed

    @invariant()
    def a_tally_of_settled_payments_is_never_negative(self) -> None:
        assert self.play.book.tally.count >= 0

    def final(self) -> dict[str, Outcome]:
        return {data.transaction: data.outcome for data in self.told(*FINAL_TYPES)}


BookMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestBookMachine = BookMachine.TestCase
ReversalMachine.TestCase.settings = BookMachine.TestCase.settings
TestReversalMachine = ReversalMachine.TestCase
