"""`tillwatch show ID`: everything about one transaction, for the person at the window."""

from __future__ import annotations

import argparse
import json

from agent.advice import advice, for_technician
from agent.cli import add_config, add_json
from agent.config import load
from agent.events import EventType, TransactionData
from agent.frozen import to_plain
from agent.history import History, Told
from agent.journal import FILE_NAME
from agent.telling import clock, facts, next_ask, question, receipt_title, step
from agent.texts import Texts


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
        due = next_ask(history.payment(data.transaction))
        protocol = history.protocol(data.terminal, config.protocol_of(data.terminal))
    meaning = advice(data, protocol, texts)
    technician = for_technician(data, protocol, texts)
    if args.json:
        events = [{"sequence": e.sequence, "type": e.type, "time": e.time, "data": e.data} for e in told]
        shown = {**to_plain(data), "advice": meaning, "technician": technician, "next_ask": due, "events": events}
        print(json.dumps(shown, ensure_ascii=False))
        return 0
    print("\n".join(_page(data, told, meaning, technician, due, texts)))
    return 0


def _page(
    data: TransactionData, told: list[Told], meaning: str, technician: str | None, due: str | None, texts: Texts
) -> list[str]:
    say = texts.say
    lines = [say("history.title", id=data.transaction), "", say("history.facts")]
    rows = facts(data, texts) | ({"next_ask": due} if due else {})
    lines += [f"  {say(f'history.{name}')}: {value}" for name, value in rows.items()]
    if data.asked:
        lines += ["", say("history.asked", attempts=data.attempts)]
        lines += [f"  {clock(asked.at)}  {question(asked, texts)}" for asked in data.asked]
    lines += ["", say("history.advice"), f"  {meaning}"]
    if technician:
        lines += ["", say("history.technician"), f"  {technician}"]
    lines += ["", say("history.timeline")]
    lines += [f"  {event.time[:23].replace('T', ' ')}  {step(event, texts)}" for event in told]
    receipts = [event for event in told if event.type == EventType.RECEIPT_CAPTURED]
    if receipts:
        lines += ["", say("history.receipts")]
    for event in receipts:
        lines += ["", f"  --- {receipt_title(event, texts)} ---"]
        lines += [f"  {line}" for line in event.data["text"]]
    return lines
