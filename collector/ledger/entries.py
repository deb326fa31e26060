"""One payment as one side of the books states it: the journal, the HIS export, or the acquirer's file.

Frozen and free of card numbers: a card is masked before an entry is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Self


class Side(StrEnum):
    """Whose record it is."""

    JOURNAL = "journal"
    HIS = "his"
    ACQUIRER = "acquirer"


class EntryKind(StrEnum):
    """What it did with money. Void: taken back by the cashier the same day. Reversal: taken back by a machine."""

    PURCHASE = "purchase"
    REFUND = "refund"
    VOID = "void"
    REVERSAL = "reversal"

    @property
    def takes_back(self) -> bool:
        """Whether money goes back to the patient."""
        return self is not EntryKind.PURCHASE

    @property
    def undoes(self) -> bool:
        """Whether it makes an earlier payment as if it had not been."""
        return self in (EntryKind.VOID, EntryKind.REVERSAL)


class State(StrEnum):
    """What the side says became of it."""

    CHARGED = "charged"  # the money moved; in the HIS: it is booked
    NOT_CHARGED = "not_charged"
    REVERSED = "reversed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row. `key`: journal: the transaction's id; file: the same for the same row wherever it stands in the file.

    `day` (YYYY-MM-DD): of the journal, the business day; of a file, the day whose file it is. `amount`: minor units,
    never negative, `kind` says which way. `card`: masked. `original`: number of the payment that it takes back.
    """

    side: Side
    key: str
    day: str
    kind: EntryKind
    state: State
    amount: int
    time_us: int | None = None
    currency: str | None = None
    terminal_id: str | None = None
    merchant_id: str | None = None
    reference: str | None = None
    trace: str | None = None
    batch: str | None = None
    channel_order: str | None = None
    order: str | None = None
    card: str | None = None
    original: str | None = None
    fee: int | None = None
    site: str | None = None
    agent: str | None = None
    terminal: str | None = None
    file: str | None = None
    line: int | None = None

    @property
    def last4(self) -> str | None:
        """The card's last four digits, where they are known."""
        tail = (self.card or "")[-4:]
        return tail if len(tail) == 4 and tail.isdigit() else None

    @property
    def signed(self) -> int:
        """The amount, negative when money goes back to the patient."""
        return -self.amount if self.kind.takes_back else self.amount

    @property
    def content_key(self) -> str:
        """What tells this row of a file from others, whatever its line."""
        parts = [getattr(self, name) for name in _CONTENT]
        return blake2b("\x1f".join(map(str, parts)).encode(), digest_size=9).hexdigest()

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return {name: getattr(self, name) for name in self.__slots__ if getattr(self, name) is not None}

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The entry of what `plain` gave."""
        typed = {"side": Side(plain["side"]), "kind": EntryKind(plain["kind"]), "state": State(plain["state"])}
        return cls(**{**plain, **typed})


_CONTENT = (
    "side",
    "kind",
    "amount",
    "time_us",
    "terminal_id",
    "merchant_id",
    "reference",
    "trace",
    "batch",
    "channel_order",
    "order",
    "card",
)
