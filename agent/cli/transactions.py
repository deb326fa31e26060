"""`tillwatch transactions`: the journal's transactions, a row each."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

from agent.cli import add_config, add_json
from agent.cli.layout import columns
from agent.config import load
from agent.errors import UsageError
from agent.events import TransactionData
from agent.frozen import to_plain
from agent.history import Filter, History, parse_amount, parse_moment
from agent.journal import FILE_NAME
from agent.money import show_amount
from agent.texts import Texts
from drivers.observations import Outcome

_MOST = 1_000_000
_DOUBTS = Filter(pending=True)  # `--pending` and nothing else


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_config(parser)
    add_json(parser)
    parser.add_argument("--since", metavar="TIME", help="today, 2h, 7d, 2026-11-24T09:30")
    parser.add_argument("--until", metavar="TIME")
    parser.add_argument("--amount", metavar="35.50")
    parser.add_argument("--last4", metavar="1234")
    parser.add_argument("--trace", metavar="000123")
    parser.add_argument("--outcome", metavar="OUTCOME", help=", ".join(Outcome))
    parser.add_argument("--pending", action="store_true")
    parser.add_argument("--limit", type=int, default=100, metavar="N")


def run(args: argparse.Namespace) -> int:
    """Print the rows; 1 when there is none."""
    config = load(args.config, secrets=False)
    texts = Texts(config.agent.language)
    wanted = Filter(
        since_ns=parse_moment(args.since) if args.since else None,
        until_ns=parse_moment(args.until) if args.until else None,
        amount=parse_amount(args.amount) if args.amount else None,
        last4=args.last4,
        trace=args.trace,
        outcome=_outcome(args.outcome) if args.outcome else None,
        pending=args.pending,
        limit=min(max(1, args.limit), _MOST),
    )
    with History(config.agent.state_dir / FILE_NAME) as history:
        found = list(history.transactions(wanted))
    if args.json:
        for data in found:
            print(json.dumps(to_plain(data), ensure_ascii=False))
    elif not found:
        print(texts.say("history.none_pending" if replace(wanted, limit=_DOUBTS.limit) == _DOUBTS else "history.none"))
    else:
        head = tuple(texts.say(f"history.column_{name}") for name in _COLUMNS)
        print("\n".join(columns([head, *(_row(data, texts) for data in found)])))
    return 0 if found else 1


_COLUMNS = ("time", "terminal", "kind", "amount", "outcome", "charged", "delivered", "card", "trace", "id", "reason")


def _row(data: TransactionData, texts: Texts) -> tuple[str, ...]:
    say = texts.say
    known = data.final or data.reason is not None
    return (
        data.started_at[:19].replace("T", " "),
        data.terminal,
        say(f"history.kind_{data.kind}"),
        show_amount(data.amount, data.currency),
        say(f"history.outcome_{data.outcome if known else 'none'}"),
        say(f"history.{data.charged}"),
        say(f"history.{data.delivered}"),
        data.card.masked if data.card else "-",
        data.trace or "-",
        data.transaction,
        say(f"history.reason_{data.reason}") if data.reason else "",
    )


def _outcome(text: str) -> Outcome:
    try:
        return Outcome(text)
    except ValueError:
        raise UsageError("history.bad_outcome", text=text, known=", ".join(Outcome)) from None
