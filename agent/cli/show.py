"""`tillwatch show ID`: everything about one transaction, for the person at the window."""

from __future__ import annotations

import argparse
import json

from agent.advice import advice
from agent.cli import add_config, add_json
from agent.config import load
from agent.events import EventType, TransactionData
from agent.frozen import to_plain
from agent.history import History, Told
from agent.journal import FILE_NAME
from agent.money import show_amount
from agent.texts import Texts

_FACTS = (
    "response",
    "card",
    "trace",
    "batch",
    "reference",
    "approval_code",
    "terminal_id",
    "merchant_id",
    "order",
    "started_at",
    "ended_at",
    "terminal_time",
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_config(parser)
    add_json(parser)
    parser.add_argument("id", metavar="ID")


def run(args: argparse.Namespace) -> int:
    """Print the transaction."""
    config = load(args.config, secrets=False)
    texts = Texts(config.agent.language)
    with History(config.agent.state_dir / FILE_NAME) as history:
        data = history.transaction(args.id)
        told = history.events(data.transaction)
    protocol = next((t.protocol for t in config.terminals if t.name == data.terminal), "")
    meaning = advice(data, protocol, texts)
    if args.json:
        events = [{"sequence": e.sequence, "type": e.type, "time": e.time, "data": e.data} for e in told]
        print(json.dumps({**to_plain(data), "advice": meaning, "events": events}, ensure_ascii=False))
        return 0
    print("\n".join(_page(data, told, meaning, texts)))
    return 0


def _page(data: TransactionData, told: list[Told], meaning: str, texts: Texts) -> list[str]:
    say = texts.say
    lines = [say("history.title", id=data.transaction), "", say("history.facts")]
    rows = {
        "kind": say(f"history.kind_{data.kind}"),
        "amount": show_amount(data.amount, data.currency),
        "outcome": say(f"history.outcome_{data.outcome if data.reason or data.final else 'none'}"),
        "charged": say(f"history.{data.charged}"),
        "delivered": say(f"history.{data.delivered}"),
        "reason": say(f"history.reason_{data.reason}") if data.reason else None,
    } | {name: _fact(data, name, texts.language) for name in _FACTS}
    lines += [f"  {say(f'history.{name}')}: {value}" for name, value in rows.items() if value]
    lines += ["", say("history.advice"), f"  {meaning}", "", say("history.timeline")]
    lines += [f"  {event.time[:23].replace('T', ' ')}  {_step(event, texts)}" for event in told]
    receipts = [event for event in told if event.type == EventType.RECEIPT_CAPTURED]
    if receipts:
        lines += ["", say("history.receipts")]
    for event in receipts:
        kind = event.data["receipt_kind"]
        lines += ["", f"  --- {say(f'history.copy_{kind}' if kind else 'history.receipt_none')} ---"]
        lines += [f"  {line}" for line in event.data["text"]]
    return lines


def _fact(data: TransactionData, name: str, language: str) -> str | None:
    if name == "response":
        text = to_plain(data.response_text)[language] if data.response_text else None
        return " ".join(part for part in (data.response_code, text) if part) or None
    if name == "card":
        return f"{data.card.masked} {data.card.scheme or ''}".strip() if data.card else None
    return getattr(data, name, None)


def _step(event: Told, texts: Texts) -> str:
    reason = event.data.get("reason")
    return texts.say(
        "history.event_" + event.type.replace(".", "_"),
        outcome=texts.say(f"history.outcome_{event.data.get('outcome')}"),
        reason=texts.say(f"history.reason_{reason}") if reason else "-",
        related=event.data.get("related"),
    )
