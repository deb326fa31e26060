"""What no sound agent sends: each message may be kept, refused or left unread, and must disturb nobody."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator
from typing import Any, NamedTuple

from agent.events import EventType
from tests.collector.ledger.events import Till, approved

PREFIX = "tillwatch/1/outpatient-1/cashier-07"
#: longer than an index takes, and no compression helps
LONG = "".join(random.Random(7).choices(string.ascii_letters + string.digits, k=20_000))


class Sent(NamedTuple):
    """One message. `transaction`: its id where it tells of one."""

    transaction: str | None
    topic: str
    payload: bytes


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


#: changes to the data of a completed payment
_PAYMENTS: tuple[dict[str, Any], ...] = (
    {},
    {"amount": 1 << 70},
    {"amount": (1 << 63) - 1},
    {"amount": -100},
    {"amount": 1.5},
    {"order": "a\0b"},
    {"order": "\ud800 \udfff"},
    {"extra": nested(60)},
    {"extra": nested(900)},
    {"started_at": "0001-01-01T00:00:00+14:00", "ended_at": "9999-12-31T23:59:59-14:00"},
    {"started_at": "9999-12-31T23:59:59Z", "terminal_time": "nonsense"},
    {"outcome": "partially_approved", "charged": "perhaps", "delivered": "maybe"},
    {"terminal": LONG},
    {"order": LONG, "trace": LONG, "merchant_id": LONG},
    {"card": ["x"], "response_text": "x", "asked": "nope"},
    {"asked": [{"at": "x", "query": "q", "said": "s", "code": None}], "how": "by_magic"},
    {"terminal": "<b>x</b>", "order": "<script>alert(1)</script>", "response_text": {"en": "<i>", "zh-CN": "<i>"}},
    {"currency": "<xyz>", "kind": "donation", "reason": "solar_flare", "final": False},
)  # fmt: skip
#: changes to its envelope
_ENVELOPES: tuple[dict[str, Any], ...] = (
    {"time": "0001-01-01T00:00:00+14:00"},
    {"time": "9999-12-31T23:59:59-14:00"},
    {"data": None},
    {"specversion": "2.0"},
)
_OTHERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("receipt.captured", {"transaction": LONG, "terminal": "pos1", "complete": True, "text": ["x"]}),
    ("receipt.captured", {"transaction": "01T001", "terminal": "pos1", "complete": True, "text": ["<b>", "\0"]}),
    (
        "settlement.completed",
        {"terminal": "pos1", "totals": nested(700), "journal_count": 1, "journal_amount": 1, "matches": False},
    ),
    ("terminal.fault", {"terminal": LONG, "link": "down"}),
    ("terminal.fault", {"terminal": "pos1", "link": "<b>sideways</b>"}),
    ("transaction.warning", {"warning": "possible_double_charge", "related": LONG}),
    ("unheard.of<script>", {}),
)
_TOPICS: tuple[tuple[str, dict[str, Any] | str], ...] = (
    (f"{PREFIX}/events/{LONG}", {}),
    (f"tillwatch/1/outpatient-1/{LONG}/state", {"site": "outpatient-1", "agent": LONG, "online": True}),
    ("tillwatch/1///state", {"site": "", "agent": "", "online": True}),
    ("tillwatch/1/a b/<b>x/state", {"site": "a b", "agent": "<b>x", "online": True}),
    (f"{PREFIX}/state", '{"site": "outpatient-1", "agent": "cashier-07", "online": true, "version": 1e999}'),
    (
        "tillwatch/1/outpatient-1/c-8/state",
        {
            "site": "outpatient-1", "agent": "c-8", "online": True, "since": "9999-12-31T23:59:59-14:00",
            "deep": nested(900), "terminals": {"pos1": {"link": "<x>", "last_frame_at": "0001-01-01T00:00:00+14:00"}},
        },
    ),
    (f"{PREFIX}/metrics", {"a": 1, "b": 1 << 80, "terminals": {"pos1": {"c\0": 3, "d": nested(50)}}}),
)  # fmt: skip


def messages() -> Iterator[Sent]:
    """All of them; the events are numbered from 1 on, without a gap."""
    sound: dict[str, Any] = json.loads(Till().payload(EventType.TRANSACTION_COMPLETED, approved("01AAA")))
    number = 0

    def event(kind: str, told: dict[str, Any], **changed: Any) -> Sent:
        nonlocal number
        number += 1
        identity = f"01T{number:03}" if kind.startswith("transaction.") else None
        data = {**sound["data"], "transaction": identity, **told} if identity else told
        body = {
            **sound, "id": f"cashier-07:e1:{number}", "sequence": number, "type": kind, "subject": identity,
            "data": data, **changed,
        }  # fmt: skip
        return Sent(identity, f"{PREFIX}/events/{kind}", json.dumps(body).encode())

    for changed in _PAYMENTS:
        yield event("transaction.completed", changed)
    for changed in _ENVELOPES:
        yield event("transaction.completed", {}, **changed)
    yield event("transaction.completed", {"transaction": LONG}, subject=None)._replace(transaction=None)
    infinite = event("transaction.completed", {"x": "infinite"})
    yield infinite._replace(payload=infinite.payload.replace(b'"infinite"', b"1e999"))
    for kind, data in _OTHERS:
        yield event(kind, data)
    for topic, body in _TOPICS:
        yield Sent(None, topic, (body if isinstance(body, str) else json.dumps(body)).encode())
