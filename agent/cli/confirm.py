"""`tillwatch confirm ID`: have the terminal asked now about a payment in doubt, and wait for its answer.

The running agent asks; this verb tells it to, and reads in the journal what came of it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from agent.advice import advice
from agent.cli import add_config, add_json
from agent.cli.arguments import seconds
from agent.config import Config, load
from agent.control import ask
from agent.events import TransactionData
from agent.frozen import to_plain
from agent.history import History
from agent.journal import FILE_NAME
from agent.money import show_amount
from agent.payments import Payment
from agent.telling import how, outcome, question
from agent.texts import Texts, language_of_environment
from drivers.observations import Outcome

_POLL_S = 0.1
_REMIND_S = 5.0
_ASKING = "asking"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    say = Texts(language_of_environment()).say
    add_config(parser)
    add_json(parser)
    parser.add_argument("id", metavar="ID")
    parser.add_argument("--wait", type=seconds, default=60.0, metavar="SECONDS", help=say("confirm.help_wait"))
    parser.add_argument("--anyway", action="store_true", help=say("confirm.help_anyway"))


def run(args: argparse.Namespace) -> int:
    """Ask and wait: 0 the outcome is known, 1 it still is not, 3 no agent answers."""
    config = load(args.config, secrets=False)
    texts = Texts(config.agent.language)
    with History(config.agent.state_dir / FILE_NAME) as history:
        data = history.transaction(args.id)
        said = None
        if _in_doubt(data):
            said = _ask(config, history, data, args, texts)
            data = history.transaction(data.transaction)
        protocol = history.protocol(data.terminal, config.protocol_of(data.terminal))
    meaning = advice(data, protocol, texts)
    if args.json:
        print(json.dumps({**to_plain(data), "advice": meaning, "confirm": said}, ensure_ascii=False))
    else:
        because = f" ({how(data, texts)})" if data.how else ""
        print(texts.say("confirm.outcome", outcome=outcome(data, texts)) + because)
        print(meaning)
    return 0 if data.final else 1


def _ask(config: Config, history: History, data: TransactionData, args: argparse.Namespace, texts: Texts) -> str:
    """Have it asked; returns the agent's word. Raises UnreachableError when no agent runs."""
    before = history.payment(data.transaction)
    said = str(
        ask(config.agent.run_dir, "confirm", transaction=data.transaction, anyway=args.anyway).get("confirm", "busy")
    )
    amount = show_amount(data.amount, data.currency)
    _progress(texts.say(f"confirm.{said}", terminal=data.terminal, amount=amount, id=data.transaction))
    if said == _ASKING:
        payment = _answered(history, data.transaction, before.attempts if before else 0, args.wait, texts)
        if payment is not None and payment.asked:
            _progress(question(payment.asked_data[-1], texts))
    return said


def _answered(history: History, transaction: str, attempts: int, wait_s: float, texts: Texts) -> Payment | None:
    """Wait until the terminal was asked once more, or the payment is settled; the payment as it is then."""
    deadline = time.monotonic() + wait_s
    remind = time.monotonic() + _REMIND_S
    while True:
        payment = history.payment(transaction)
        if payment is None or not payment.in_doubt or payment.attempts > attempts:
            return payment
        now = time.monotonic()
        if now >= deadline:
            _progress(texts.say("confirm.no_answer", seconds=f"{wait_s:g}"))
            return payment
        if now >= remind:
            remind = now + _REMIND_S
            _progress(texts.say("confirm.waiting"))
        time.sleep(_POLL_S)


def _in_doubt(data: TransactionData) -> bool:
    return not data.final and data.outcome is Outcome.UNKNOWN and data.reason is not None


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
