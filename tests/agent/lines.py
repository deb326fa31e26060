"""Short names for what a line shows, shared by the tests of the book and of what builds on it."""

from __future__ import annotations

from agent.book import advance
from agent.events import Draft, EventType
from agent.payments import At, Book, LinkUp, Terms
from drivers.cards import MaskedCard
from drivers.observations import (
    Ack,
    Acked,
    Answer,
    Checksum,
    Direction,
    Facts,
    Kind,
    Noise,
    Outcome,
    Phase,
    Progress,
    Request,
)
from drivers.queries import Query

SECOND = 1_000_000_000
TERMS = Terms(
    "pos1",
    "concert",
    "serial:/dev/ttyACM0",
    "CNY",
    100 * SECOND,
    8 * SECOND // 10,
    asks=(Query.LAST_RESULT, Query.STATUS),
)
CARD = MaskedCard("497554******4970", "Visa")


def request(amount: int | None = 1234, kind: Kind | None = Kind.PURCHASE, message: str = "debit") -> Request:
    return Request(
        direction=Direction.CASHIER, checksum=Checksum.OK, kind=kind, message=message, facts=Facts(amount=amount)
    )


def answer(
    outcome: Outcome | None = Outcome.APPROVED, amount: int | None = 1234, final: bool = True, code: str = "0"
) -> Answer:
    facts = Facts(amount=amount, response_code=code, card=CARD, approval_code="A123")
    return Answer(
        direction=Direction.TERMINAL, checksum=Checksum.OK, outcome=outcome, final=final, message="answer", facts=facts
    )


def cashier_ack(positive: bool = True, of: Acked = Acked.ANSWER) -> Ack:
    return Ack(direction=Direction.CASHIER, positive=positive, of=of)


def terminal_ack(positive: bool = True, code: str | None = None) -> Ack:
    return Ack(direction=Direction.TERMINAL, positive=positive, of=Acked.REQUEST, facts=Facts(response_code=code))


def progress(phase: Phase | None = None) -> Progress:
    return Progress(direction=Direction.TERMINAL, message="step", phase=phase)


def broken(direction: Direction = Direction.TERMINAL) -> Noise:
    return Noise(direction=direction, checksum=Checksum.BAD, length=83, reason="bad LRC")


class Play:
    """A book fed step by step, with a clock that the test moves."""

    def __init__(self, terms: Terms = TERMS, link_up: bool = True) -> None:
        self.book = Book()
        self.terms = terms
        self.now = 1_000 * SECOND
        self.drafts: list[Draft] = []
        self._count = 0
        if link_up:
            self.see(LinkUp())
            self.drafts.clear()

    def see(self, *things: object) -> list[Draft]:
        """Let these happen, a millisecond apart; returns what follows."""
        new: list[Draft] = []
        for thing in things:
            self.now += SECOND // 1000
            self._count += 1
            at = At(1_790_000_000 * SECOND + self.now, self.now, f"ring:{self._count}")
            self.book, drafts = advance(self.book, thing, at, self.terms)
            new += drafts
        self.drafts += new
        return new

    def wait(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)

    @property
    def types(self) -> list[EventType]:
        return [draft.type for draft in self.drafts]
