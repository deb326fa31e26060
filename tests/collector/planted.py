"""Rows planted in a ledger for tests of what reads them; how events become rows is tested in tests/collector/ledger."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from sqlalchemy import insert, update

from agent.ids import transaction_id
from collector.ledger import Ledger, microseconds
from collector.ledger.incoming import Event
from collector.ledger.tables import agents, events, receipts, streams, terminals, transactions
from tests.collector.conftest import NOW

NOW_US = microseconds(NOW)
MINUTE_US = 60_000_000


def identity(number: int) -> str:
    return transaction_id(NOW_US * 1000 + number, f"planted {number}")


def data_of(number: int = 1, **values: Any) -> dict[str, Any]:
    """Transaction data as published: an approved and delivered purchase, unless `values` say otherwise."""
    started = NOW - timedelta(minutes=60) + timedelta(seconds=number)
    return {
        "transaction": identity(number), "terminal": "pos1", "kind": "purchase", "amount": 3550, "currency": "CNY",
        "outcome": "approved", "charged": "yes", "delivered": "yes", "final": True, "response_code": "00",
        "response_text": {"en": "Approved", "zh-CN": "交易成功"}, "trace": f"{number:06d}", "batch": "000001",
        "reference": f"{240607100000 + number}", "approval_code": "654321", "terminal_id": "12345678",
        "merchant_id": "898310073992501", "card": {"masked": "622202******1234", "scheme": "UnionPay"},
        "order": f"HIS{number:05d}", "channel_order": None, "started_at": started.isoformat(timespec="milliseconds"),
        "ended_at": (started + timedelta(seconds=4)).isoformat(timespec="milliseconds"), "terminal_time": None,
        "reason": None, "attempts": 0, "how": None, "late": False, "call": None, "asked": [], "advice": None,
        "warning": None, "related": None, **values,
    }  # fmt: skip


def plant(ledger: Ledger, number: int = 1, *, site: str = "east", agent: str = "cashier-01", **values: Any) -> str:
    """One transaction's row; `values` are fields of the data, or columns that events would have set."""
    columns = {name: values.pop(name) for name in list(values) if name in _EVENT_COLUMNS}
    data = data_of(number, **values)
    started_us = NOW_US - 60 * MINUTE_US + number * 1_000_000
    masked = (data["card"] or {}).get("masked")
    row = {
        **{name: data[name] for name in _SAME},
        "id": data["transaction"], "site": site, "agent": agent, "order_no": data["order"], "card_masked": masked,
        "last4": masked[-4:] if masked else None, "scheme": (data["card"] or {}).get("scheme"),
        "pending": data["reason"] is not None and not data["final"], "escalated": False,
        "started_us": started_us, "ended_us": started_us + 4_000_000, "updated_us": started_us + 4_000_000,
        "opened_us": NOW_US, "epoch": "e1", "last_sequence": number, "events": 2, "data": data, **columns,
    }  # fmt: skip
    with ledger.write() as connection:
        connection.execute(insert(transactions).values(**row))
    return str(data["transaction"])


def change(ledger: Ledger, transaction: str, **columns: Any) -> None:
    """The transaction stands otherwise now."""
    with ledger.write() as connection:
        connection.execute(update(transactions).where(transactions.c.id == transaction).values(**columns))


def told(kind: str, data: dict[str, Any], *, sequence: int = 1, agent: str = "cashier-01", site: str = "east") -> Event:
    """An event as ingest hands it on."""
    subject = data.get("transaction")
    body = {
        "specversion": "1.0", "id": f"{agent}:e1:{sequence}", "source": f"/{site}/{agent}/{data['terminal']}",
        "type": kind, "time": NOW.isoformat(timespec="milliseconds"), "sequence": sequence, "epoch": "e1",
        "subject": subject, "data": data,
    }  # fmt: skip
    return Event(
        agent=agent, epoch="e1", sequence=sequence, time_us=NOW_US, received_us=NOW_US, site=site,
        terminal=data["terminal"], type=kind, subject=subject, body=json.dumps(body, ensure_ascii=False), data=data,
    )  # fmt: skip


def store(ledger: Ledger, *these: Event) -> None:
    """The events' rows, as they are kept."""
    with ledger.write() as connection:
        for event in these:
            row = {name: value for name, value in event._asdict().items() if name != "data"}
            connection.execute(insert(events).values(**row, projected=True))


def receipt(ledger: Ledger, transaction: str, sequence: int, kind: str, text: str) -> None:
    with ledger.write() as connection:
        connection.execute(
            insert(receipts).values(
                agent="cashier-01",
                epoch="e1",
                sequence=sequence,
                site="east",
                terminal="pos1",
                time_us=NOW_US,
                transaction=transaction,
                receipt_kind=kind,
                complete=True,
                text=text,
            )
        )  # fmt: skip


def agent(ledger: Ledger, name: str = "cashier-01", **columns: Any) -> None:
    """An agent with one terminal and one stream."""
    with ledger.write() as connection:
        row = {
            "agent": name, "site": "east", "version": "0.1.0", "online": True, "since_us": NOW_US - 3600_000_000,
            "last_seen_us": NOW_US, "epoch": "e1", "sequence": 10, "pending": 0, "outbox": 0, **columns,
        }  # fmt: skip
        gaps = row.pop("gaps", [])
        connection.execute(insert(agents).values(**row))
        stream = {
            "agent": name, "epoch": "e1", "site": row["site"], "opened_us": NOW_US, "contiguous": 10, "highest": 10,
            "gaps": gaps, "lost": [], "progress_us": NOW_US, "asks": 0, "gap_since_us": NOW_US if gaps else None,
        }  # fmt: skip
        known = {column: value for column, value in stream.items() if column in streams.c}
        connection.execute(insert(streams).values(**known))
        connection.execute(
            insert(terminals).values(
                agent=name,
                terminal="pos1",
                site=row["site"],
                protocol="concert",
                device="serial:/dev/ttyS0",
                link="up",
                since_us=NOW_US - MINUTE_US,
                told_us=NOW_US,
            )
        )  # fmt: skip


_SAME = (
    "terminal", "kind", "amount", "currency", "outcome", "charged", "delivered", "final", "response_code", "trace",
    "batch", "reference", "approval_code", "terminal_id", "merchant_id", "channel_order", "reason", "how", "attempts",
    "terminal_time", "warning", "related",
)  # fmt: skip
_EVENT_COLUMNS = frozenset(
    {"escalated", "escalated_us", "pending_us", "settled_us", "started_us", "ended_us", "updated_us", "reconciled_as"}
)
