"""The life of a case: its kinds, its statuses, which may follow which, and why one is closed. Tables, no ifs."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What went wrong."""

    ESCALATED = "escalated"  # the outcome of a payment is unknown, and nothing is left to ask automatically (or soon)
    UNDELIVERED = "undelivered"  # charged, and the cashier application does not know
    DOUBLE_CHARGE = "double_charge"  # a second payment of the same amount followed an unknown one
    CONTRADICTION = "contradiction"  # the terminal said otherwise after a doubt was settled
    REVERSAL_FAILED = "reversal_failed"  # the terminal could not take a payment back, and has given up trying
    SETTLEMENT_MISMATCH = "settlement_mismatch"  # terminal and journal, or terminal and host, disagree on the day
    CHARGED_NOT_BOOKED = "charged_not_booked"  # reconciliation: in the acquirer's file, not in the hospital's books
    BOOKED_NOT_CHARGED = "booked_not_charged"  # reconciliation: the other way round
    AMOUNT_DIFFERS = "amount_differs"
    DUPLICATE = "duplicate"
    ONLY_IN_FILE = "only_in_file"
    DIFFERENCE = "difference"  # reconciliation: any other
    OTHER = "other"  # opened by a person


class Status(StrEnum):
    """How far a case is."""

    OPEN = "open"
    WAITING = "waiting_for_acquirer"
    REFUND_AGREED = "refund_agreed"
    REFUNDED = "refunded"
    CLOSED = "closed"


class Reason(StrEnum):
    """Why a case is closed."""

    BOOKED = "booked"  # the payment was booked by hand
    REFUNDED = "refunded"
    NOT_CHARGED = "not_charged"  # proven: nobody paid
    REVERSED = "reversed"
    PAID_ONCE = "paid_once"  # not a double charge after all
    SETTLED = "settled"  # the truth became known, and nothing was left to do
    BALANCED = "balanced"  # a later file or settlement evened it out
    MISTAKE = "mistake"  # never was a case
    OTHER = "other"  # as the note says


TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.OPEN: frozenset({Status.WAITING, Status.REFUND_AGREED, Status.CLOSED}),
    Status.WAITING: frozenset({Status.OPEN, Status.REFUND_AGREED, Status.CLOSED}),
    Status.REFUND_AGREED: frozenset({Status.WAITING, Status.REFUNDED, Status.CLOSED}),
    Status.REFUNDED: frozenset({Status.REFUND_AGREED, Status.CLOSED}),  # back: the refund did not arrive
    Status.CLOSED: frozenset({Status.OPEN}),
}

#: steps whose why must be written down
NEEDS_NOTE: frozenset[tuple[Status, Status]] = frozenset(
    {(Status.CLOSED, Status.OPEN), (Status.REFUNDED, Status.REFUND_AGREED)}
)

_H = 3600
#: how soon somebody has to look, in seconds from the opening. A patient stands at the window for the first ones.
DUE_S: dict[Kind, int] = {
    Kind.ESCALATED: 4 * _H,
    Kind.UNDELIVERED: 4 * _H,
    Kind.DOUBLE_CHARGE: 4 * _H,
    Kind.CONTRADICTION: 24 * _H,
    Kind.REVERSAL_FAILED: 4 * _H,
    Kind.SETTLEMENT_MISMATCH: 24 * _H,
    Kind.CHARGED_NOT_BOOKED: 24 * _H,
    Kind.BOOKED_NOT_CHARGED: 24 * _H,
    Kind.AMOUNT_DIFFERS: 24 * _H,
    Kind.DUPLICATE: 24 * _H,
    Kind.ONLY_IN_FILE: 72 * _H,
    Kind.DIFFERENCE: 72 * _H,
    Kind.OTHER: 72 * _H,
}

#: statuses in which a case may close itself; later ones are promises to people that only people can end
CLOSES_ITSELF = frozenset({Status.OPEN, Status.WAITING})
