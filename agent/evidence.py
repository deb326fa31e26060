"""What a transaction that a terminal shows proves about a payment in doubt. Pure; proves nothing when it is not sure.

A terminal that is asked again shows its last transaction. It is the payment in doubt when it carries its numbers; or
when the amount is the same, it is newer than the last one known before the payment began, and the terminal's clock
puts it where the payment was. When the last one known before is shown once more, the payment never took place.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from drivers.observations import Facts

_TRACES = 1_000_000  # trace numbers have six digits and begin anew
SECOND = 1_000_000_000
#: how far a terminal's clock may be off: when the last transaction has shown by how much it is, and when none has
_TOLERANCE_NS = 120 * SECOND
_TOLERANCE_UNKNOWN_NS = 300 * SECOND


class Verdict(Enum):
    """What is proven about one payment."""

    THIS = auto()  # the transaction shown is this payment
    ABSENT = auto()  # the terminal knows of nothing behind the one before: this payment never took place
    UNCLEAR = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What tells one transaction of a terminal from the others, and when it was seen."""

    amount: int | None
    trace: str | None
    batch: str | None
    approval_code: str | None
    reference: str | None
    terminal_time: str | None
    seen_wall_ns: int
    gapless: bool = True  # nothing has passed unseen since: what is newer can only be what we know of


@dataclass(frozen=True, slots=True)
class Doubtful:
    """What is known of a payment in doubt: its own facts, the transaction before it, and when it can have been."""

    own: Mark | None
    amount: int | None
    before: Mark | None
    earliest_wall_ns: int
    latest_wall_ns: int


def mark_of(facts: Facts, seen_wall_ns: int) -> Mark | None:
    """The transaction's mark; None when nothing in the facts tells it from another one of its amount."""
    if facts.trace is None and facts.approval_code is None and facts.reference is None:
        return None
    return _mark(facts, seen_wall_ns)


def shown_mark(facts: Facts, seen_wall_ns: int) -> Mark:
    """The mark of what a terminal has shown, however little that is."""
    return _mark(facts, seen_wall_ns)


def same(one: Mark, other: Mark) -> bool | None:
    """Whether both are one transaction; None when nothing tells."""
    pairs = ((one.trace, other.trace), (one.approval_code, other.approval_code), (one.reference, other.reference))
    known = [a == b for a, b in pairs if a is not None and b is not None]
    context = [a == b for a, b in ((one.batch, other.batch), (one.amount, other.amount)) if None not in (a, b)]
    if False in known or (known and False in context):
        return False
    return True if known else None


def numbered(one: Facts, other: Facts) -> bool | None:
    """Whether both bear the numbers of one transaction; None where they do not bear enough of them to tell.

    A trace number counts within one terminal's batch: it begins anew in the next one, and elsewhere.
    """
    if None in (one.trace, other.trace, one.terminal_id, other.terminal_id):
        return None
    if (one.trace, one.terminal_id) != (other.trace, other.terminal_id):
        return False
    return None in (one.batch, other.batch) or one.batch == other.batch


def judge(payment: Doubtful, shown: Mark) -> Verdict:
    """What the transaction shown proves about the payment."""
    own = same(payment.own, shown) if payment.own else None
    if own is not None:
        return Verdict.THIS if own else Verdict.UNCLEAR
    again = same(payment.before, shown) if payment.before else None
    if again:
        return Verdict.ABSENT
    if payment.amount is None or payment.amount != shown.amount:
        return Verdict.UNCLEAR
    if again is False and payment.before and not _newer(shown, payment.before):
        return Verdict.UNCLEAR
    fits = _time_fits(payment, shown)
    if fits is None:
        fits = again is False and payment.before is not None and payment.before.gapless
    return Verdict.THIS if fits else Verdict.UNCLEAR


def _mark(facts: Facts, seen_wall_ns: int) -> Mark:
    return Mark(
        amount=facts.amount,
        trace=facts.trace,
        batch=facts.batch,
        approval_code=facts.approval_code,
        reference=facts.reference,
        terminal_time=facts.terminal_time,
        seen_wall_ns=seen_wall_ns,
    )


def _newer(later: Mark, earlier: Mark) -> bool:
    """By their trace numbers, where both have one of the same batch."""
    one, other = later.trace, earlier.trace
    if one is None or other is None or not one.isdecimal() or not other.isdecimal():
        return True
    if None not in (later.batch, earlier.batch) and later.batch != earlier.batch:
        return True
    return 0 < (int(one) - int(other)) % _TRACES < _TRACES // 2


def _time_fits(payment: Doubtful, shown: Mark) -> bool | None:
    """Whether the terminal's time lies where the payment was; None when it states none that means anything."""
    moment = _moment(shown.terminal_time, payment.earliest_wall_ns)
    before = payment.before
    if moment is None or (before and before.terminal_time == shown.terminal_time):
        return None  # a clock that gives two transactions one second stands still
    known = _moment(before.terminal_time, before.seen_wall_ns) if before else None
    ahead = known - before.seen_wall_ns if before and known is not None else 0
    tolerance = _TOLERANCE_UNKNOWN_NS if known is None else _TOLERANCE_NS
    return payment.earliest_wall_ns - tolerance <= moment - ahead <= payment.latest_wall_ns + tolerance


def _moment(text: str | None, near_wall_ns: int) -> int | None:
    """A terminal's local time in wall-clock nanoseconds; what it leaves out (year, day) is taken from nearby."""
    if text is None:
        return None
    near = datetime.fromtimestamp(near_wall_ns / SECOND)
    for left_out, added in ((None, ""), ("year", "2000-"), ("day", "2000-01-01 ")):  # 2000 had a 29 February
        try:
            parsed = datetime.strptime(added + text, "%Y-%m-%d %H:%M:%S")
        except ValueError:
            continue
        return int(_nearest(parsed, near, left_out).timestamp()) * SECOND
    return None


def _nearest(parsed: datetime, near: datetime, left_out: str | None) -> datetime:
    if left_out == "year":
        candidates = [_in_year(parsed, near.year + shift) for shift in (-1, 0, 1)]
    elif left_out == "day":
        today = parsed.replace(year=near.year, month=near.month, day=near.day)
        candidates = [today + timedelta(days=shift) for shift in (-1, 0, 1)]
    else:
        candidates = [parsed]
    return min(candidates, key=lambda moment: abs(moment - near))


def _in_year(moment: datetime, year: int) -> datetime:
    try:
        return moment.replace(year=year)
    except ValueError:  # 29 February in another year
        return moment.replace(year=year, day=28)
