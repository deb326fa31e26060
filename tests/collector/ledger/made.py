"""Payments as many agents would publish them, made cheaply: for the bench, and for tests that need many."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from agent.events import EventType
from tests.collector.ledger.events import Till, approved, payment, receipt

T = EventType
_LINES = tuple(f"商户存根 LINE {number:02} .................... 35.50" for number in range(18))
_PLACE = "@PAYMENT@"


def messages(agents: int, number: int) -> Iterator[tuple[str, bytes]]:
    """(topic, payload) of `number` events: payments of four events each, the agents' turns interleaved."""
    tills = [Till(f"cashier-{at:05}", f"{at:016x}") for at in range(agents)]
    steps = (
        (T.TRANSACTION_STARTED, payment(_PLACE)),
        (T.TRANSACTION_COMPLETED, approved(_PLACE)),
        (T.RECEIPT_CAPTURED, receipt(_PLACE, *_LINES)),
        (T.RECEIPT_CAPTURED, receipt(_PLACE, *_LINES)),
    )
    forms = [_form(kind, data) for kind, data in steps]
    for made in range(number):
        turn, at = divmod(made, agents)
        till = tills[at]
        till.sequence += 1
        kind, form = forms[turn % 4]
        identity = f"01JD{turn // 4:011}{at:011}"
        source = till.source
        body = form % {"a": source.agent, "e": source.epoch, "s": till.sequence, "p": identity}
        yield till.topic(kind), body.encode()


def _form(kind: EventType, data: Any) -> tuple[EventType, str]:
    """An event of the agent's own making, with places for what differs."""
    plain = Till("@AGENT@", "@EPOCH@")
    body = json.loads(plain.payload(kind, data))
    text = json.dumps(body | {"sequence": "@SEQUENCE@", "id": "@AGENT@:@EPOCH@:@SEQUENCE@"}, ensure_ascii=False)
    text = text.replace("%", "%%").replace('"@SEQUENCE@"', "%(s)d").replace("@SEQUENCE@", "%(s)d")
    return kind, text.replace("@AGENT@", "%(a)s").replace("@EPOCH@", "%(e)s").replace(_PLACE, "%(p)s")
