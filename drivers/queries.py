"""Questions that may be put to a terminal: a closed list, and none of it moves money.

Who asks never handles bytes. A conversation says *words* (`Word`), and a driver's table gives each word its bytes,
made once, without an amount: all that the agent can ever send to a terminal of a protocol is the values of that
table. So a frame that moves money can't be built here, and a test reads every table through the protocol's decoder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from drivers.observations import Facts, Observation, Outcome, Receipt


class Query(StrEnum):
    """What may be asked."""

    LAST_RESULT = "last_result"  # the terminal's last transaction once more, with its facts
    STATUS = "status"  # whether it is there and idle; proves nothing about a payment

    @property
    def proves(self) -> bool:
        """Whether an answer to it can settle a payment in doubt."""
        return self is Query.LAST_RESULT


class Word(StrEnum):
    """All that a conversation can say."""

    ASK_LAST_RESULT = "ask_last_result"
    ASK_STATUS = "ask_status"
    ENQUIRE = "enquire"  # may I speak?
    ACKNOWLEDGE = "acknowledge"  # a message was understood
    LINK_ACK = "link_ack"  # a frame came whole
    LINK_NAK = "link_nak"  # a frame came broken
    ABORT = "abort"  # end what is being asked
    END = "end"  # the transmission is over


class Said(StrEnum):
    """How the terminal answered."""

    TRANSACTION = "transaction"  # with a transaction: see `Finding.facts`
    IDLE = "idle"
    BUSY = "busy"  # not now
    REFUSED = "refused"  # it does not answer this query, now or later
    NOTHING = "nothing"  # not at all, or not to the end


class Policy(StrEnum):
    """What the agent does about a payment in doubt: ask the terminal, or only watch what passes."""

    ASK = "ask"
    WATCH = "watch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one query brought. `facts` and `outcome` are those of the transaction the terminal showed."""

    query: Query
    said: Said
    facts: Facts = field(default_factory=Facts)
    outcome: Outcome | None = None
    code: str | None = None
    receipts: tuple[Receipt, ...] = ()


class Conversation(Protocol):
    """One query, sans-IO: bytes of the terminal in, words out. Never raises on input."""

    @property
    def done(self) -> bool:
        """The line can be given back: nothing more is owed by either side."""
        ...

    def begin(self) -> Sequence[Word]:
        """The first words."""
        ...

    def hear(self, data: bytes) -> Sequence[Word]:
        """Bytes came from the terminal."""
        ...

    def interrupt(self) -> Sequence[Word]:
        """The cashier application wants to speak: come to an end as fast as the protocol allows."""
        ...


@dataclass(frozen=True, slots=True)
class QueryLine:
    """What the words of a line depend on. `framing` as in drivers.driver; `currency` alphabetic, ISO 4217."""

    framing: str
    currency: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How a protocol's terminals can be asked. Times in seconds, each with its source in the driver's file."""

    queries: tuple[Query, ...]  # best first
    words: Callable[[QueryLine], Mapping[Word, bytes]]
    converse: Callable[[Query, QueryLine], Conversation]
    finding: Callable[[Sequence[Observation]], Finding]
    patience_s: float  # so long a cashier application waits for the terminal's first byte; half of it bounds a hold
    longest_s: float  # one query, from its first byte to its last
    policy: Policy  # without a policy of the site
    because: Mapping[str, str]  # why that is the policy, by language
