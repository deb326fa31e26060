"""The typed values a decoder yields: what was seen on the line, and nothing of what it means for a payment.

Every value is frozen. Amounts are integer minor units. Card numbers are masked before a value is built, so
nothing that holds an observation can leak one. What is not known is None, never invented.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import StrEnum

from drivers.cards import MaskedCard


class Direction(StrEnum):
    """Who sent the bytes."""

    CASHIER = "cashier"
    TERMINAL = "terminal"

    @property
    def opposite(self) -> Direction:
        """The other end of the line."""
        return Direction.TERMINAL if self is Direction.CASHIER else Direction.CASHIER


class Checksum(StrEnum):
    """What the frame's own check said; NONE where the framing carries none."""

    OK = "ok"
    BAD = "bad"
    NONE = "none"


class Kind(StrEnum):
    """What a request asks the terminal to do."""

    PURCHASE = "purchase"
    REFUND = "refund"
    VOID = "void"
    PREAUTHORISATION = "preauthorisation"
    COMPLETION = "completion"
    BALANCE = "balance"
    SETTLEMENT = "settlement"
    OTHER = "other"

    @property
    def moves_money(self) -> bool:
        """Whether an approval of it changes what somebody has in the bank."""
        return self not in (Kind.BALANCE, Kind.SETTLEMENT, Kind.OTHER)


#: they give money back
GIVEN_BACK = frozenset({Kind.REFUND, Kind.VOID})


class Outcome(StrEnum):
    """How a transaction ended. UNKNOWN is a value of its own, never the absence of one."""

    APPROVED = "approved"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    REVERSED = "reversed"
    NOT_EXECUTED = "not_executed"
    UNKNOWN = "unknown"


class Phase(StrEnum):
    """How far a running transaction has come, where the protocol tells."""

    ACCEPTED = "accepted"
    WAITING_FOR_CARD = "waiting_for_card"
    WAITING_FOR_HOST = "waiting_for_host"
    REVERSING = "reversing"
    TERMINAL_RESTARTED = "terminal_restarted"
    GAVE_UP = "gave_up"  # the terminal tried to answer, and ended the exchange without having succeeded


class Acked(StrEnum):
    """What an acknowledgement acknowledges."""

    ENQUIRY = "enquiry"
    REQUEST = "request"
    ANSWER = "answer"
    END = "end"
    OTHER = "other"


class Reversal(StrEnum):
    """Why a terminal undoes a payment of its own."""

    NO_ANSWER = "no_answer"
    BAD_ANSWER = "bad_answer"  # an answer came that it could not trust
    OTHER = "other"


class ReceiptKind(StrEnum):
    """Whose copy a receipt is."""

    MERCHANT = "merchant"
    CUSTOMER = "customer"
    ADMINISTRATION = "administration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a frame says about a transaction, under the contract's names. `extra` holds the driver's own names.

    `order` is the hospital's own number, `channel_order` that of WeChat, Alipay or the acquirer's wallet.
    """

    amount: int | None = None
    currency: str | None = None
    response_code: str | None = None
    trace: str | None = None
    batch: str | None = None
    reference: str | None = None
    approval_code: str | None = None
    terminal_id: str | None = None
    merchant_id: str | None = None
    card: MaskedCard | None = None
    order: str | None = None
    channel_order: str | None = None
    terminal_time: str | None = None
    extra: tuple[tuple[str, str | int], ...] = ()

    def merged(self, later: Facts) -> Facts:
        """These facts, overlaid with everything that `later` knows."""
        known = {f.name: value for f in fields(later) if (value := getattr(later, f.name)) not in (None, ())}
        if "extra" in known:
            known["extra"] = tuple((dict(self.extra) | dict(later.extra)).items())
        return replace(self, **known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Something seen on the line. `text` holds receipt or display lines, where the frame carries any."""

    direction: Direction
    checksum: Checksum = Checksum.NONE
    facts: Facts = Facts()
    text: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Observation):
    """Somebody asks for a transaction: the cashier application the terminal, or a terminal its host.

    `kind` is None where the request opens no transaction (registration, status enquiry, repeat receipt …).
    `message` is the protocol's own name of the command.
    `reverses`: it asks to undo the earlier transaction whose numbers its facts bear, and why; `kind` is None then.
    """

    kind: Kind | None
    message: str
    reverses: Reversal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Observation):
    """A step on the way: an intermediate status, a display text, a line of a receipt being printed."""

    message: str
    phase: Phase | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Observation):
    """What the terminal said about a transaction.

    `outcome` is None where the frame names no result of its own (it only ends the exchange).
    `final`: with this frame the terminal has said all it will say.
    `at_once`: the terminal answered before it knew; the outcome can't come from this exchange.
    `reverses`: it answers a reversal: REVERSED, NOT_EXECUTED (there was nothing to undo), or UNKNOWN (not accepted).
    `kind`: of what, where it says so itself and no request was seen.
    """

    outcome: Outcome | None
    final: bool
    message: str
    at_once: bool = False
    reverses: bool | None = None
    kind: Kind | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack(Observation):
    """A positive or negative acknowledgement of what the other side sent."""

    positive: bool
    of: Acked


class Alarm(StrEnum):
    """What a printed slip calls people for."""

    REVERSAL_FAILED = "reversal_failed"  # the terminal could not take a payment back, and has given up trying
    OFFLINE_LOST = "offline_lost"  # payments taken offline never reached the host


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """What a printed slip says of itself, beside its facts.

    `name` is its own kind in one word (sale, qr_refund, sign_in …); `kind` what it is in the contract's words, None
    where it is about no transaction. `outcome` is None where the slip does not tell, or was not read to its end.
    """

    name: str
    kind: Kind | None
    outcome: Outcome | None
    reprint: bool = False
    test: bool = False
    alarm: Alarm | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt(Observation):
    """A receipt, `text` being its lines. `complete` is False when the stream ended before the receipt did.

    `slip`: what it says of itself, where it was read for that (drivers/receipts/).
    """

    receipt_kind: ReceiptKind | None
    complete: bool = True
    slip: Slip | None = None


@dataclass(frozen=True, slots=True)
class Total:
    """One row of an end-of-day report. Amount in minor units; `kind` where the report says what the row counts."""

    name: str
    count: int | None
    amount: int | None
    kind: Kind | None = None

    @property
    def net(self) -> int:
        """What the row adds to the merchant's account: refunds and voids take away."""
        return -abs(self.amount or 0) if self.kind in GIVEN_BACK else self.amount or 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement(Observation):
    """End-of-day totals as the terminal states them.

    `balanced`: whether the terminal says that they agree with the host's; None when it does not say.
    """

    totals: tuple[Total, ...] = ()
    balanced: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise(Observation):
    """Bytes that are no valid frame. Their content is not kept: it may hold a card number.

    `reason` is a short English phrase such as "bad LRC"; `length` counts the bytes.
    """

    length: int
    reason: str


def as_dict(observation: Observation) -> dict[str, object]:
    """The observation as `tillwatch decode --json` prints it: kind, direction, checksum, fields, text."""
    shown: dict[str, object] = {}
    for field in fields(observation):
        value = getattr(observation, field.name)
        if field.name in ("direction", "checksum", "facts", "text") or value is None:
            continue
        if isinstance(value, Slip):
            shown |= _slip_as_dict(value)
        else:
            shown[field.name] = _plain(value)
    shown |= facts_as_dict(observation.facts)
    return {
        "kind": type(observation).__name__.lower(),
        "direction": str(observation.direction),
        "checksum": str(observation.checksum),
        "fields": shown,
        "text": list(observation.text),
    }


def facts_as_dict(facts: Facts) -> dict[str, object]:
    """The known facts by their contract names, the driver's own names beside them."""
    shown = {f.name: _plain(getattr(facts, f.name)) for f in fields(facts) if f.name != "extra"}
    return {name: value for name, value in shown.items() if value is not None} | dict(facts.extra)


def _slip_as_dict(slip: Slip) -> dict[str, object]:
    """What the slip says; its marks only where it bears them."""
    shown = {"slip": slip.name, "kind": slip.kind, "outcome": slip.outcome, "alarm": slip.alarm}
    marks = {"reprint": slip.reprint, "test": slip.test}
    said = {name: _plain(value) for name, value in shown.items() if value is not None}
    return said | {name: True for name, borne in marks.items() if borne}


def _plain(value: object) -> object:
    if isinstance(value, MaskedCard):
        return value.as_dict()
    if isinstance(value, StrEnum):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Total):
        row = {"name": value.name, "count": value.count, "amount": value.amount}
        return row | ({"kind": str(value.kind)} if value.kind else {})
    return value
