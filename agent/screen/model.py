"""What the screen holds of one line: rows, filters, search, marks, rates, the payment under way. Pure, and bounded.

Rows come in also while the screen is paused; what is shown then stays as it was when it was paused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from agent.money import show_amount
from agent.screen.entry import KINDS, Entry
from agent.tlog import Event
from drivers.masking import LeftOut
from drivers.observations import Answer, Direction, Kind, Outcome, Progress, Request

#: rows held; the oldest go. A payment has some twenty, so it is the last hundreds of payments
CAPACITY = 10_000
RATE_S = 10
#: behind these nobody waits for the answer any more; one that comes all the same still counts
_ENDS = frozenset({Event.UNPLUGGED, Event.PORT_CLOSED, Event.MISSED})


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows are shown; None: any."""

    direction: Direction | None = None
    kind: str | None = None
    wrong_only: bool = False

    def passes(self, entry: Entry) -> bool:
        """Whether the row is shown. What happened to the line belongs to both directions."""
        return (
            (self.direction is None or entry.direction in (self.direction, None))
            and (self.kind is None or entry.kind == self.kind)
            and (entry.wrong or not self.wrong_only)
        )

    def next_direction(self) -> Filter:
        """All, the cashier application's, the terminal's, all again."""
        order: Sequence[Direction | None] = (None, Direction.CASHIER, Direction.TERMINAL)
        return replace(self, direction=order[(order.index(self.direction) + 1) % len(order)])

    def next_kind(self) -> Filter:
        """All, then one kind after the other."""
        order: Sequence[str | None] = (None, *KINDS)
        return replace(self, kind=order[(order.index(self.kind) + 1) % len(order)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """The payment on the line, or the last one. Amount in minor units; `ended_at` and `outcome` once it is answered."""

    kind: Kind
    amount: int | None
    currency: str | None
    began_at: float
    phase: str | None = None
    outcome: Outcome | None = None
    code: str | None = None
    ended_at: float | None = None

    @property
    def shown_amount(self) -> str:
        """The amount as people write it."""
        return show_amount(self.amount, self.currency) or "-"


def followed(payment: Payment | None, entry: Entry) -> Payment | None:
    """The payment after this row, which is not of the agent's own conversation."""
    seen = entry.observation
    if isinstance(seen, Request) and seen.kind is not None:
        return Payment(kind=seen.kind, amount=seen.facts.amount, currency=seen.facts.currency, began_at=entry.at)
    if payment is None or payment.outcome not in (None, Outcome.UNKNOWN):
        return payment
    if entry.event in _ENDS and payment.ended_at is None:
        return replace(payment, outcome=Outcome.UNKNOWN, ended_at=entry.at)
    if isinstance(seen, Progress) and seen.phase is not None and payment.ended_at is None:
        return replace(payment, phase=str(seen.phase))
    if isinstance(seen, Answer) and seen.final and seen.outcome is not None:
        return replace(payment, outcome=seen.outcome, code=seen.facts.response_code, ended_at=entry.at)
    return payment


class Rates:
    """Bytes and rows a second, over the last ten seconds, in buckets of one."""

    def __init__(self) -> None:
        self._buckets: dict[int, dict[Direction, list[int]]] = {}

    def count(self, entry: Entry) -> None:
        """A row has come."""
        if entry.direction is None:
            return
        size = sum(piece.length if isinstance(piece, LeftOut) else len(piece) for piece in entry.pieces)
        bucket = self._buckets.setdefault(int(entry.at), {})
        counts = bucket.setdefault(entry.direction, [0, 0])
        counts[0] += size
        counts[1] += 1
        while len(self._buckets) > RATE_S + 1:
            del self._buckets[min(self._buckets)]

    def of(self, direction: Direction, now: float) -> tuple[float, float]:
        """Bytes and rows a second, seen from `now`."""
        counts = [
            bucket[direction]
            for second, bucket in self._buckets.items()
            if int(now) - RATE_S < second <= int(now) and direction in bucket
        ]
        return sum(size for size, _ in counts) / RATE_S, sum(rows for _, rows in counts) / RATE_S


class Model:
    """The rows of one line."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self.held: deque[Entry] = deque(maxlen=capacity)
        self._shown: deque[Entry] = deque(maxlen=capacity)
        self._frozen: tuple[Entry, ...] | None = None
        self.filter = Filter()
        self.search = ""
        self.rates = Rates()
        self.payment: Payment | None = None
        self.wrong = 0  # rows with an error, since the beginning
        self.total = 0
        self.waiting = 0  # rows that came while paused
        self.version = 0  # changes whenever what is shown does
        self.removed = 0  # of the rows by this filter, those that had to go because others came

    @property
    def paused(self) -> bool:
        """Whether what is shown stands still."""
        return self._frozen is not None

    @property
    def rows(self) -> Sequence[Entry]:
        """What is shown, oldest first."""
        return self._shown if self._frozen is None else self._frozen

    def add(self, entries: Iterable[Entry]) -> None:
        """Rows have come."""
        for entry in entries:
            if len(self.held) == self._capacity and self._shown and self._shown[0] is self.held[0]:
                self._shown.popleft()
                self.removed += 1
            self.held.append(entry)
            self.total += 1
            self.wrong += entry.wrong
            self.rates.count(entry)
            if not entry.asked:
                self.payment = followed(self.payment, entry)
            if self.filter.passes(entry):
                self._shown.append(entry)
            if self._frozen is None:
                self.version += 1
            else:
                self.waiting += 1

    def refilter(self, wanted: Filter) -> None:
        """Show by this filter, also while paused: then the rows that were held."""
        self.filter = wanted
        self._shown = deque((entry for entry in self.held if wanted.passes(entry)), maxlen=self._capacity)
        if self._frozen is not None:
            self._frozen = tuple(self._shown)
            self.waiting = 0
        self.version += 1

    def pause(self) -> None:
        """Let it stand still, or go on."""
        self._frozen = tuple(self._shown) if self._frozen is None else None
        self.waiting = 0
        self.version += 1

    def found(self, entry: Entry) -> bool:
        """Whether the row fits what is searched for: in its line, its receipt, or its bytes in hexadecimal."""
        if not self.search:
            return False
        wanted = self.search.casefold()
        if any(wanted in text.casefold() for text in (entry.summary, *entry.text)):
            return True
        digits = wanted.replace(" ", "")
        return bool(digits) and any(isinstance(piece, bytes) and digits in piece.hex() for piece in entry.pieces)

    def find(self, start: int, step: int) -> int | None:
        """The place among the rows of the next one that fits, from `start` on in that direction (1 or -1), around."""
        rows = self.rows
        for distance in range(1, len(rows) + 1):
            place = (start + step * distance) % len(rows)
            if self.found(rows[place]):
                return place
        return None
