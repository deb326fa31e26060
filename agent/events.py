"""The events tillwatch publishes: their types, their data, their CloudEvents envelope.

Everything here is public (docs/events.md, config/schemas/). A type of data is a frozen dataclass; the JSON Schemas
are generated from them, so a field added here is a field documented. This module does no I/O and reads no clock.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from agent.frozen import to_plain
from drivers.cards import MaskedCard
from drivers.observations import Kind, Outcome, ReceiptKind, Total
from drivers.queries import Query, Said


class EventType(StrEnum):
    """What an event tells. The value is the CloudEvents `type` and the last level of the MQTT topic."""

    TRANSACTION_STARTED = "transaction.started"
    TRANSACTION_COMPLETED = "transaction.completed"
    TRANSACTION_PENDING = "transaction.pending"
    TRANSACTION_CONFIRMED = "transaction.confirmed"
    TRANSACTION_UNDELIVERED = "transaction.undelivered"
    TRANSACTION_ESCALATED = "transaction.escalated"
    TRANSACTION_WARNING = "transaction.warning"
    RECEIPT_CAPTURED = "receipt.captured"
    SETTLEMENT_COMPLETED = "settlement.completed"
    TERMINAL_CONNECTED = "terminal.connected"
    TERMINAL_DISCONNECTED = "terminal.disconnected"
    TERMINAL_DEGRADED = "terminal.degraded"
    TERMINAL_FAULT = "terminal.fault"
    AGENT_STARTED = "agent.started"
    AGENT_STOPPED = "agent.stopped"
    AGENT_FAULT = "agent.fault"


class Certainty(StrEnum):
    """Yes, no, or nobody knows."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why an outcome is unknown, an answer undelivered, a transaction escalated."""

    LINK_LOST = "link_lost"
    ANSWER_TIMEOUT = "answer_timeout"
    BAD_FRAME = "bad_frame"
    HOST_TIMEOUT = "host_timeout"
    TERMINAL_RESTARTED = "terminal_restarted"
    CASHIER_CLOSED = "cashier_closed"
    AGENT_RESTARTED = "agent_restarted"
    CODE_AMBIGUOUS = "code_ambiguous"
    NOT_SUPPORTED = "not_supported"


class Call(StrEnum):
    """Which call to people an escalation is: the first, while the terminal is still asked, or the final one."""

    FIRST = "first"
    FINAL = "final"


class WarningKind(StrEnum):
    """What a `transaction.warning` warns of."""

    POSSIBLE_DOUBLE_CHARGE = "possible_double_charge"
    CONTRADICTION = "contradiction"  # the terminal says otherwise after a doubt was settled
    REVERSAL_FAILED = "reversal_failed"  # a slip calls for people: the terminal could not take the payment back


@dataclass(frozen=True, slots=True)
class ResponseText:
    """A text in both languages: what a response code means, what to do."""

    en: str
    zh_CN: str  # noqa: N815 (published as zh-CN)


@dataclass(frozen=True, slots=True)
class AskedData:
    """One question that the agent put to the terminal, and how it answered."""

    at: str
    query: Query
    said: Said
    code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionData:
    """One transaction as every `transaction.*` event carries it. Amount in minor units; unknown is null.

    `how`: the evidence that settled a pending one. `call`: which call to people an escalation is. `advice`: what it
    means and what to do, where something has to be done. `warning`, `related`: of what a warning warns, and the
    earlier transaction that it is about.
    """

    transaction: str
    terminal: str
    kind: Kind
    amount: int | None
    currency: str | None
    outcome: Outcome
    charged: Certainty
    delivered: Certainty
    final: bool
    response_code: str | None
    response_text: ResponseText | None
    trace: str | None
    batch: str | None
    reference: str | None
    approval_code: str | None
    terminal_id: str | None
    merchant_id: str | None
    card: MaskedCard | None
    order: str | None
    channel_order: str | None
    started_at: str
    ended_at: str | None
    terminal_time: str | None
    reason: Reason | None
    attempts: int
    how: str | None = None
    late: bool = False
    call: Call | None = None
    asked: tuple[AskedData, ...] = ()
    advice: ResponseText | None = None
    warning: WarningKind | None = None
    related: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptData:
    """A receipt's text, line by line, card numbers masked. `transaction` is null when it belongs to none we saw."""

    transaction: str | None
    terminal: str
    receipt_kind: ReceiptKind | None
    complete: bool
    text: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementData:
    """End-of-day totals of the terminal beside what the journal counted since the last settlement.

    `matches` is null when the terminal stated no total that can be compared, and when the totals differ but something
    passed before we watched, or unseen; `balanced` is whether the terminal says that it agrees with its host. Amounts
    in minor units.
    """

    transaction: str | None
    terminal: str
    totals: tuple[Total, ...]
    journal_count: int
    journal_amount: int
    matches: bool | None
    balanced: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalData:
    """A terminal's link: `reason` in one word (gone, busy, denied …), `detail` for a technician."""

    terminal: str
    protocol: str
    device: str
    link: str
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentData:
    """The agent itself."""

    version: str
    reason: str | None = None
    detail: str | None = None


EventData = TransactionData | ReceiptData | SettlementData | TerminalData | AgentData

#: type → the data it carries
DATA_OF: dict[EventType, type] = {
    **{kind: TransactionData for kind in EventType if kind.startswith("transaction.")},
    **{kind: TerminalData for kind in EventType if kind.startswith("terminal.")},
    **{kind: AgentData for kind in EventType if kind.startswith("agent.")},
    EventType.RECEIPT_CAPTURED: ReceiptData,
    EventType.SETTLEMENT_COMPLETED: SettlementData,
}


@dataclass(frozen=True, slots=True)
class Draft:
    """An event before the journal gave it its number. `wall_ns`: when it happened, by the wall clock."""

    type: EventType
    data: EventData
    wall_ns: int

    @property
    def subject(self) -> str | None:
        """The transaction it is about, where there is one."""
        return getattr(self.data, "transaction", None)

    @property
    def terminal(self) -> str | None:
        """The terminal it is about, where there is one."""
        return getattr(self.data, "terminal", None)


@dataclass(frozen=True, slots=True)
class Source:
    """Whose journal numbers the events."""

    site: str
    agent: str
    epoch: str

    @property
    def prefix(self) -> str:
        """The MQTT topic prefix of this agent."""
        return f"tillwatch/1/{self.site}/{self.agent}"


def envelope(draft: Draft, source: Source, sequence: int) -> str:
    """The event as published: CloudEvents 1.0, structured JSON, one line."""
    parts = [part for part in (source.site, source.agent, draft.terminal) if part]
    body: dict[str, object] = {
        "specversion": "1.0",
        "id": f"{source.agent}:{source.epoch}:{sequence}",
        "source": "/" + "/".join(parts),
        "type": str(draft.type),
        "time": timestamp(draft.wall_ns),
        "datacontenttype": "application/json",
        "sequence": sequence,
        "epoch": source.epoch,
    }
    if draft.subject:
        body["subject"] = draft.subject
    body["data"] = to_plain(draft.data)
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def timestamp(wall_ns: int) -> str:
    """RFC 3339 with milliseconds and the local offset."""
    moment = datetime.fromtimestamp(wall_ns // 1_000_000 / 1000, UTC).astimezone()
    return moment.isoformat(timespec="milliseconds")
