"""The values the book works with: a payment and its states, the inputs that are no observation, the book itself.

All are frozen and turn into JSON and back (agent/frozen.py), because the journal keeps the book across restarts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from agent.advice import advise
from agent.events import AskedData, Call, Certainty, Draft, EventType, Reason, ResponseText, TransactionData, timestamp
from agent.evidence import Mark
from drivers import registry
from drivers.observations import Direction, Facts, Kind, Outcome, Phase
from drivers.queries import Finding, Query, Said

#: so many of the last questions about a payment are kept with it
ASKS_KEPT = 20
#: so many of the last slips are kept where a terminal is known by its printer alone: a slip's copies follow at once
PRINTS_KEPT = 20


class State(StrEnum):
    """Where a payment is in its life (docs/transaction.md)."""

    IDLE = "idle"  # no payment seen on this line yet
    OPEN = "open"  # the request went to the terminal
    ANSWERED = "answered"  # the outcome is known, its delivery is not
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    PENDING = "pending"  # the outcome is unknown
    CONFIRMED = "confirmed"
    ESCALATED = "escalated"


@dataclass(frozen=True, slots=True)
class At:
    """When and where on the line something was seen. `token` is unique to it and the same on every replay."""

    wall_ns: int
    mono_ns: int
    token: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What the book must know of a terminal. Times in nanoseconds."""

    terminal: str
    protocol: str
    device: str
    currency: str | None
    answer_timeout_ns: int
    delivery_timeout_ns: int
    asks: tuple[Query, ...] = ()  # what may be asked about a payment in doubt, best first; nothing: only watch
    first_call_ns: int = 900 * 1_000_000_000  # so long a doubt may last before people are called
    give_up_ns: int = 86_400 * 1_000_000_000  # and so long the terminal is asked
    listens_only: bool = False  # nothing but what is printed is heard: a slip makes a transaction
    acknowledged: bool = True  # False: nobody says on this line that an answer was taken
    reverses: bool = False  # the terminal undoes an unanswered payment itself, before its next online one
    reprints_any: bool = False  # a reprint for the cashier application may be of any transaction, not only the last


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The device was opened."""


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The device is away; `reason` in one word, `detail` for a technician."""

    reason: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class PortClosed:
    """The cashier application closed the virtual port."""


@dataclass(frozen=True, slots=True)
class PortRefused:
    """The cashier application asked the virtual port for settings that it can't have."""

    detail: str


@dataclass(frozen=True, slots=True)
class Missed:
    """Bytes passed that we did not see: the bridge was restarted, or its ring overran."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed, and all that was on the line until now has been seen."""


@dataclass(frozen=True, slots=True)
class Waited:
    """Time has passed; what was on the line meanwhile may not have been seen yet."""


@dataclass(frozen=True, slots=True)
class Booted:
    """The agent has begun to run; `boot` names the time since the machine was started, whose monotonic clock it is."""

    boot: str


@dataclass(frozen=True, slots=True)
class Replied:
    """The terminal was asked, and this came."""

    finding: Finding


@dataclass(frozen=True, slots=True)
class Scheduled:
    """The terminal is to be asked about this payment at that time; `asks` only when a person wants it asked again."""

    transaction: str
    due_mono_ns: int
    asks: tuple[Query, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """One question about a payment, as it ended."""

    wall_ns: int
    query: Query
    said: Said
    code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Since when a payment's outcome is unknown, and what is done about it."""

    wall_ns: int
    mono_ns: int
    asks_left: tuple[Query, ...]  # nothing: only what passes on the line can still settle it
    due_mono_ns: int | None = None  # when to ask next; None: not decided yet
    call: Call | None = None  # whether people were called


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One transaction on the line, whatever its kind."""

    id: str
    state: State
    kind: Kind
    message: str
    facts: Facts
    started_wall_ns: int
    deadline_mono_ns: int
    phase: Phase | None = None
    stated: Outcome | None = None  # a result that the terminal has named but not closed yet
    outcome: Outcome = Outcome.UNKNOWN
    delivered: Certainty = Certainty.UNKNOWN
    reason: Reason | None = None
    ended_wall_ns: int | None = None
    bad_frames: int = 0
    refusals: int = 0  # NAKs of the cashier application to the answer
    how: str | None = None
    late: bool = False
    before: Mark | None = None  # the last transaction known when this one began
    earlier_reversal: bool = False  # before it, the terminal sent a reversal that it had kept
    by: Direction = Direction.CASHIER  # who asked for it; the other side answers
    reversing: bool = False  # the terminal has asked to undo it
    tried_again: bool = False  # in doubt, and another one of its amount has come and gone since
    doubt: Doubt | None = None
    attempts: int = 0
    asked: tuple[Ask, ...] = ()

    @property
    def at_the_host(self) -> bool:
        """Whether the terminal was last seen waiting for the bank."""
        return self.phase in (Phase.WAITING_FOR_HOST, Phase.REVERSING)

    @property
    def in_doubt(self) -> bool:
        """Whether nobody knows its outcome."""
        return self.state in (State.PENDING, State.ESCALATED)

    @property
    def was_pending(self) -> bool:
        """Whether its outcome was unknown for a while."""
        return self.doubt is not None

    @property
    def asked_data(self) -> tuple[AskedData, ...]:
        """The last questions to the terminal, as events show them."""
        return tuple(AskedData(timestamp(ask.wall_ns), ask.query, ask.said, ask.code) for ask in self.asked)

    @property
    def charged(self) -> Certainty:
        """Whether somebody's money moved. Of a kind that nobody knows, an approval does not tell."""
        if self.kind in (Kind.BALANCE, Kind.SETTLEMENT) or self.outcome not in (Outcome.APPROVED, Outcome.UNKNOWN):
            return Certainty.NO
        proven = self.outcome is Outcome.APPROVED and self.kind.moves_money
        return Certainty.YES if proven else Certainty.UNKNOWN


@dataclass(frozen=True, slots=True)
class Print:
    """A slip that was printed, by what tells it from others, and the transaction that it belongs to."""

    transaction: str | None
    name: str
    facts: Facts


@dataclass(frozen=True, slots=True)
class Tally:
    """Approved transactions since the last settlement: how many, and their sum in minor units."""

    count: int = 0
    amount: int = 0
    whole: bool = False  # it began at a settlement, and nothing was missed since


class Link(StrEnum):
    """A terminal's line as the retained state shows it."""

    UP = "up"
    DOWN = "down"
    DEGRADED = "degraded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """What is known of one terminal's payments.

    `current` is the payment of the last exchange, in whatever state; `pending` are earlier ones still unknown.
    `inquiry` names a request under way that opens no transaction (a repeat receipt, a registration).
    """

    current: Payment | None = None
    pending: tuple[Payment, ...] = ()
    inquiry: str | None = None
    link: Link = Link.DOWN
    link_reason: str | None = None
    bad_run: int = 0
    last_frame_wall_ns: int | None = None
    tally: Tally = Tally()
    last: Mark | None = None  # the last transaction that the terminal has shown
    boot: str | None = None
    reversal: Facts | None = None  # the numbers of the transaction that a terminal wants undone, until it is answered
    undone: Facts | None = None  # the numbers of the last one that was undone
    heard: str | None = None  # the protocol that a terminal with protocol = "auto" was heard to speak
    prints: tuple[Print, ...] = ()  # where the terminal is known by its printer alone

    @property
    def state(self) -> State:
        """The state of the payment of the last exchange."""
        return self.current.state if self.current else State.IDLE

    @property
    def unknown(self) -> tuple[Payment, ...]:
        """All payments whose outcome is unknown, oldest first."""
        return (*self.pending, self.current) if self.current and self.current.in_doubt else self.pending

    @property
    def provable(self) -> tuple[Payment, ...]:
        """Those that an answer or a receipt may settle: one that its terminal undoes waits for the host's word."""
        return tuple(payment for payment in self.unknown if not payment.reversing)

    @property
    def busy(self) -> bool:
        """Whether an exchange is under way, or an answer waits for its acknowledgement."""
        return self.state in (State.OPEN, State.ANSWERED)

    @property
    def deadline_mono_ns(self) -> int | None:
        """When the book wants a Tick."""
        return self.current.deadline_mono_ns if self.busy and self.current else None


def current_of(book: Book) -> Payment:
    """The payment of the last exchange, for handlers of its states: they run only where there is one."""
    if book.current is None:
        raise AssertionError("a handler of a payment's state ran without a payment")
    return book.current


def with_current(book: Book, **changes: Any) -> Book:
    """The book with that payment changed."""
    return replace(book, current=replace(current_of(book), **changes))


#: the next book, and the events that follow
Step = tuple[Book, tuple[Draft, ...]]


def draft(kind: EventType, payment: Payment, at: At, terms: Terms) -> Draft:
    """A `transaction.*` event about the payment as it is now."""
    return Draft(kind, transaction_data(payment, terms), at.wall_ns)


def transaction_data(payment: Payment, terms: Terms) -> TransactionData:
    """The payment as the contract shows it."""
    facts = payment.facts
    meaning = registry.code_book(terms.protocol).meaning(facts.response_code)
    data = TransactionData(
        transaction=payment.id,
        terminal=terms.terminal,
        kind=payment.kind,
        amount=facts.amount,
        currency=facts.currency or terms.currency,
        outcome=payment.outcome,
        charged=payment.charged,
        delivered=payment.delivered,
        final=payment.state is not State.OPEN and not payment.in_doubt,
        response_code=facts.response_code,
        response_text=ResponseText(meaning.text["en"], meaning.text["zh-CN"]) if meaning else None,
        trace=facts.trace,
        batch=facts.batch,
        reference=facts.reference,
        approval_code=facts.approval_code,
        terminal_id=facts.terminal_id,
        merchant_id=facts.merchant_id,
        card=facts.card,
        order=facts.order,
        channel_order=facts.channel_order,
        started_at=timestamp(payment.started_wall_ns),
        ended_at=None if payment.ended_wall_ns is None else timestamp(payment.ended_wall_ns),
        terminal_time=facts.terminal_time,
        reason=payment.reason,
        attempts=payment.attempts,
        how=payment.how,
        late=payment.late,
        call=payment.doubt.call if payment.doubt else None,
        asked=payment.asked_data,
    )
    return replace(data, advice=advise(data, terms.protocol)) if data.reason else data
