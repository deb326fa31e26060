"""The shapes of the API's answers, from which /openapi.json is made. Names and meanings: docs/api.md."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Transaction(BaseModel):
    """The transaction data of docs/events.md as published last, and where it was. Amounts in minor units."""

    model_config = ConfigDict(extra="allow")

    transaction: str
    site: str
    agent: str
    terminal: str
    kind: str
    amount: int | None
    currency: str | None
    outcome: str
    charged: str
    delivered: str
    final: bool
    pending: bool = Field(description="in doubt: it has a reason, is not final, and no acquirer's file proved it")
    escalated: bool = Field(description="people were called, and it is still not final")
    reconciled_as: str | None = Field(description="category of the reconciliation, when its day was reconciled")
    proved_as: str | None = Field(
        description="outcome that a file of the acquirer proved where the agent knows none; `outcome` stays its own"
    )
    events: int = Field(description="how many transaction.* events told of it")
    updated_at: str


class Transactions(BaseModel):
    """One page. `next`: the cursor of the following one, null on the last."""

    items: list[Transaction]
    next: str | None


class Receipt(BaseModel):
    """One captured receipt, card numbers masked."""

    receipt_kind: str | None
    complete: bool
    text: list[str]
    time: str


class Whole(Transaction):
    """A transaction with everything that was told of it. `events`: CloudEvents as received; `event_count`: of them."""

    events: list[dict[str, Any]]  # type: ignore[assignment]
    event_count: int
    receipts: list[Receipt]
    cases: list[int] = Field(description="numbers of the cases about it")


class Stream(BaseModel):
    """One journal of an agent. `stored`: everything up to this number is here; `gaps`: [first, last] of what is not."""

    epoch: str
    stored: int
    highest: int
    gaps: list[tuple[int, int]]
    gap_since: str | None


class Agent(BaseModel):
    """One agent. `sequence`: stored without a gap, of its present journal; `gaps`: what is missing of that one."""

    agent: str
    site: str
    version: str | None
    online: bool
    stale: bool = Field(description="silent for so long that what it said last is no news; never true news of now")
    since: str | None
    last_seen: str
    epoch: str | None
    sequence: int
    journal_sequence: int | None = Field(description="the last number of its journal, as the agent said")
    gaps: list[tuple[int, int]]
    missing: int
    pending: int | None
    outbox: int | None
    streams: list[Stream]


class Agents(BaseModel):
    """Agents by name."""

    items: list[Agent]
    next: str | None


class Terminal(BaseModel):
    """One terminal, as its agent told last. `stale`: the agent is silent, so `link` is how it was."""

    site: str
    agent: str
    terminal: str
    protocol: str | None
    device: str | None
    link: str | None
    reason: str | None
    detail: str | None
    since: str | None
    last_frame_at: str | None
    stale: bool
    metrics: dict[str, Any] | None


class Terminals(BaseModel):
    """Terminals by site, agent and name."""

    items: list[Terminal]


class Alert(BaseModel):
    """Something that a rule looks for and that is going on. `subject`: what it is about; `detail`: what is known."""

    rule: str
    subject: str
    since: str
    opened_at: str
    detail: dict[str, Any]


class Alerts(BaseModel):
    """What is going on, what began last comes first."""

    items: list[Alert]


class Case(BaseModel):
    """One case as it stands."""

    number: int
    kind: str
    subject: str
    transaction: str | None
    related: str | None
    site: str | None
    agent: str | None
    terminal: str | None
    amount: int | None
    currency: str | None
    status: str
    reason: str | None
    owner: str | None
    due: str | None
    overdue: bool
    opened_at: str
    updated_at: str
    closed_at: str | None
    settled_at: str | None
    settled_as: str | None
    entries: int = Field(description="length of the history; send it back as `seen` to change only what you saw")


class Cases(BaseModel):
    """One page, the newest first."""

    items: list[Case]
    next: str | None


class CaseEntry(BaseModel):
    """One entry of a history, with the hash that chains it to the one before."""

    entry: int
    at: str
    actor: str
    via: str
    action: str
    data: dict[str, Any]
    before: str
    hash: str


class CaseWhole(Case):
    """A case with its history. `broken_at`: the first entry that was changed after it was written; null when none."""

    history: list[CaseEntry]
    broken_at: int | None
    next: list[str] = Field(description="statuses that may follow")
