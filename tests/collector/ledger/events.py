"""Events as agents publish them, made by the agent's own code, for tests of what receives them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

from agent.events import (
    Certainty,
    Draft,
    EventType,
    ReceiptData,
    Source,
    TransactionData,
    envelope,
)
from collector.ingest.envelope import parse
from collector.ledger.incoming import Incoming
from drivers.cards import MaskedCard
from drivers.observations import Kind, Outcome, ReceiptKind
from tests.collector.conftest import NOW

SECOND = 1_000_000_000
START_NS = int(NOW.timestamp()) * SECOND
SITE = "outpatient-1"


def payment(identity: str, **more: Any) -> TransactionData:
    """A purchase that has begun."""
    started = TransactionData(
        transaction=identity,
        terminal="pos1",
        kind=Kind.PURCHASE,
        amount=3550,
        currency="CNY",
        outcome=Outcome.UNKNOWN,
        charged=Certainty.UNKNOWN,
        delivered=Certainty.NO,
        final=False,
        response_code=None,
        response_text=None,
        trace=None,
        batch=None,
        reference=None,
        approval_code=None,
        terminal_id=None,
        merchant_id=None,
        card=None,
        order=None,
        channel_order=None,
        started_at=datetime.fromtimestamp(START_NS / SECOND, NOW.tzinfo).isoformat(timespec="milliseconds"),
        ended_at=None,
        terminal_time=None,
        reason=None,
        attempts=0,
    )
    return replace(started, **more)


def approved(identity: str, **more: Any) -> TransactionData:
    """A purchase that went well."""
    known: dict[str, Any] = {
        "outcome": Outcome.APPROVED,
        "charged": Certainty.YES,
        "delivered": Certainty.YES,
        "final": True,
        "response_code": "00",
        "trace": "000123",
        "card": MaskedCard("622202******1234", "UnionPay"),
    }
    return payment(identity, **known | more)


def receipt(identity: str | None, *lines: str) -> ReceiptData:
    """The customer's copy."""
    return ReceiptData(
        transaction=identity, terminal="pos1", receipt_kind=ReceiptKind.CUSTOMER, complete=True, text=lines
    )


class Till:
    """One agent: numbers its events and publishes them."""

    def __init__(self, agent: str = "cashier-07", epoch: str = "e1", site: str = SITE) -> None:
        self.source = Source(site, agent, epoch)
        self.sequence = 0

    def payload(self, kind: EventType, data: Any, seconds: float = 0.0) -> bytes:
        """The next event as it goes over the wire."""
        self.sequence += 1
        draft = Draft(kind, data, START_NS + int(seconds * SECOND))
        return envelope(draft, self.source, self.sequence).encode()

    def topic(self, kind: str) -> str:
        return f"{self.source.prefix}/events/{kind}"

    def event(self, kind: EventType, data: Any, seconds: float = 0.0, received_us: int = START_NS // 1000) -> Incoming:
        """The next event as the collector takes it in."""
        payload = self.payload(kind, data, seconds)
        return parse(self.topic(kind), payload, received_us)

    def state(self, received_us: int = START_NS // 1000, **more: Any) -> Incoming:
        """Its retained state."""
        body: dict[str, Any] = {
            "online": True,
            "agent": self.source.agent,
            "site": self.source.site,
            "version": "1.2.3",
            "since": "2026-03-05T08:00:00+00:00",
            "epoch": self.source.epoch,
            "terminals": {"pos1": {"link": "up", "reason": None, "protocol": "concert", "last_frame_at": None}},
            "pending": 0,
            "outbox": 0,
            "sequence": self.sequence,
        }
        return parse(f"{self.source.prefix}/state", json.dumps(body | more).encode(), received_us)
