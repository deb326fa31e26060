"""What people read about a transaction, in their language: its facts, its time line, the questions to the terminal.

Used by whatever shows one (`show`, `proof`); plain text, no layout.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from agent.events import AskedData, EventType, TransactionData
from agent.frozen import to_plain
from agent.history import Told
from agent.money import show_amount
from agent.payments import Payment
from agent.texts import Texts

_PLAIN = ("trace", "batch", "reference", "approval_code", "terminal_id", "merchant_id", "order", "channel_order")

#: event types that are told by what one field says
_SPECIAL = {str(EventType.TRANSACTION_ESCALATED): "call", str(EventType.TRANSACTION_WARNING): "warning"}


def facts(data: TransactionData, texts: Texts) -> dict[str, str]:
    """What is known, by the names of the event's fields; without what is not known."""
    say = texts.say
    found: dict[str, str | None] = {
        "kind": say(f"history.kind_{data.kind}"),
        "amount": show_amount(data.amount, data.currency),
        "outcome": outcome(data, texts),
        "charged": say(f"history.{data.charged}"),
        "delivered": say(f"history.{data.delivered}"),
        "reason": say(f"history.reason_{data.reason}") if data.reason else None,
        "how": how(data, texts),
        "call": say(f"history.call_{data.call}") if data.call and not data.final else None,
        "response": response(data, texts),
        "card": f"{data.card.masked} {data.card.scheme or ''}".strip() if data.card else None,
    }
    found |= {name: getattr(data, name) for name in _PLAIN}
    found |= {
        "started_at": clock(data.started_at),
        "ended_at": clock(data.ended_at) if data.ended_at else None,
        "terminal_time": data.terminal_time,
    }
    return {name: value for name, value in found.items() if value}


def outcome(data: TransactionData, texts: Texts) -> str:
    """The outcome in words; an exchange under way has none yet."""
    return texts.say(f"history.outcome_{data.outcome if data.final or data.reason else 'none'}")


def how(data: TransactionData, texts: Texts) -> str | None:
    """What settled a payment that was in doubt."""
    return texts.say(f"history.how_{data.how}") if data.how else None


def response(data: TransactionData, texts: Texts) -> str | None:
    """Response code and its meaning."""
    text = to_plain(data.response_text)[texts.language] if data.response_text else None
    return " ".join(part for part in (data.response_code, text) if part) or None


def question(asked: AskedData, texts: Texts) -> str:
    """One question to the terminal, and how it answered."""
    return texts.say("history.question", query=texts.say(f"history.query_{asked.query}"), said=said(asked, texts))


def said(asked: AskedData, texts: Texts) -> str:
    """How the terminal answered."""
    code = texts.say("history.said_code", code=asked.code) if asked.code else ""
    return texts.say(f"history.said_{asked.said}") + code


def step(event: Told, texts: Texts) -> str:
    """One event of the time line."""
    reason = event.data.get("reason")
    kind = event.type.replace(".", "_")
    special = _SPECIAL.get(event.type)
    if special and (which := event.data.get(special)):
        kind += f"_{which}"
    return texts.say(
        f"history.event_{kind}",
        outcome=texts.say(f"history.outcome_{event.data.get('outcome')}"),
        reason=texts.say(f"history.reason_{reason}") if reason else "-",
        how=texts.say(f"history.how_{event.data['how']}") if event.data.get("how") else "-",
        related=event.data.get("related"),
    )


def receipt_title(event: Told, texts: Texts) -> str:
    """Whose copy a captured receipt is."""
    kind = event.data["receipt_kind"]
    return texts.say(f"history.copy_{kind}" if kind else "history.receipt_none")


def clock(text: str) -> str:
    """An event's time without what people don't need: it is local time already."""
    return text[:19].replace("T", " ")


def next_ask(payment: Payment | None) -> str | None:
    """When the terminal is to be asked next, as a local time. None when that is not decided, or not to be."""
    if payment is None or not payment.in_doubt or payment.doubt is None or payment.doubt.due_mono_ns is None:
        return None
    left_s = max(0.0, (payment.doubt.due_mono_ns - time.monotonic_ns()) / 1e9)
    return f"{datetime.now() + timedelta(seconds=left_s):%Y-%m-%d %H:%M:%S}"
