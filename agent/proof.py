"""The patient's proof: one self-contained HTML page about one payment, for A4 and for an 80 mm receipt printer.

It says what was asked, what the terminal and the bank answered, what that means for the patient's money, and when
and by whom it will be settled. No script, no request to anywhere; card numbers are masked in the journal already, and
whatever a terminal printed is escaped by the template (jinja2, autoescape).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

import jinja2

from agent import __version__, telling
from agent.config import Agent, Confirm, Proof
from agent.events import Call, Certainty, EventType, TransactionData
from agent.history import Told
from agent.money import show_amount
from agent.texts import Texts
from drivers.observations import GIVEN_BACK, Outcome

_TEMPLATE = Path(__file__).with_name("proof.html")
_NUMBERS = ("started_at", "kind", "card", "trace", "batch", "reference", "approval_code", "order", "terminal_id")


class Standing(StrEnum):
    """How a payment stands for the patient; each has its texts in locale/*/proof.toml."""

    OPEN = "open"
    PAID = "paid"
    PAID_UNBOOKED = "paid_unbooked"  # charged, and the cashier application does not know
    NOT_PAID = "not_paid"
    REVERSED = "reversed"
    UNKNOWN_ASKING = "unknown_asking"
    UNKNOWN_PEOPLE = "unknown_people"  # nothing is left to ask automatically
    REFUNDED = "refunded"
    NOT_REFUNDED = "not_refunded"
    REFUND_UNKNOWN = "refund_unknown"


@dataclass(frozen=True, slots=True)
class About:
    """Whose page it is, and how doubts are settled there. `confirm`: of the payment's terminal, if it is configured."""

    agent: Agent
    proof: Proof
    confirm: Confirm | None


def standing(data: TransactionData) -> Standing:
    """How the payment stands."""
    if data.outcome is Outcome.UNKNOWN:
        return _unknown(data)
    if data.kind in GIVEN_BACK:
        return Standing.REFUNDED if data.outcome is Outcome.APPROVED else Standing.NOT_REFUNDED
    if data.charged is Certainty.YES:
        return Standing.PAID_UNBOOKED if data.delivered is Certainty.NO else Standing.PAID
    if data.charged is Certainty.UNKNOWN:  # approved, and nobody saw what was asked for
        return Standing.UNKNOWN_PEOPLE
    return Standing.REVERSED if data.outcome is Outcome.REVERSED else Standing.NOT_PAID


def _unknown(data: TransactionData) -> Standing:
    if data.reason is None and not data.final:
        return Standing.OPEN
    if data.kind in GIVEN_BACK:
        return Standing.REFUND_UNKNOWN
    return Standing.UNKNOWN_PEOPLE if data.call is Call.FINAL else Standing.UNKNOWN_ASKING


def page(data: TransactionData, told: Sequence[Told], about: About, texts: Texts, now: datetime) -> str:
    """The page as HTML text. `told`: all events of the transaction; `now`: local time, printed on it."""
    stands = standing(data)
    known = telling.facts(data, texts)
    until, called = _times(told, about.confirm)
    values = {"until": until, "called": called, "amount": show_amount(data.amount, data.currency)}
    say = texts.say
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        language=texts.language,
        say=lambda key: say(f"proof.{key}"),
        standing=str(stands),
        status=say(f"proof.{stands}"),
        amount=values["amount"],
        meaning=say(f"proof.{stands}_meaning", **values),
        when=say(f"proof.{stands}_when", **values),
        who=say(f"proof.{stands}_who") if texts.has(f"proof.{stands}_who") else None,
        hospital=about.proof.hospital or about.agent.site,
        contact=about.proof.contact,
        numbers=[(say(f"history.{name}"), known[name]) for name in _NUMBERS if name in known],
        places=[(say("proof.place"), f"{about.agent.site} / {about.agent.id} / {data.terminal}")],
        steps=_steps(data, told, known, texts),
        receipts=[(telling.receipt_title(event, texts), "\n".join(event.data["text"])) for event in _receipts(told)],
        warnings=[telling.step(event, texts) for event in told if event.type == EventType.TRANSACTION_WARNING],
        id=data.transaction,
        printed=f"{now:%Y-%m-%d %H:%M:%S}",
        version=__version__,
    )


def _steps(
    data: TransactionData, told: Sequence[Told], known: dict[str, str], texts: Texts
) -> list[tuple[str, str, str]]:
    """Time, what happened, and details: the exchange and the questions behind it, in their order."""
    again = texts.say("proof.asked")
    steps = [(asked.at, again, telling.question(asked, texts)) for asked in data.asked]
    for event in told:
        detail = ""
        if event.type == EventType.TRANSACTION_STARTED:
            detail = f"{known['kind']} {known['amount']}"
        elif event.type in (EventType.TRANSACTION_COMPLETED, EventType.TRANSACTION_CONFIRMED):
            detail = known.get("response", "")
        if event.type not in (EventType.RECEIPT_CAPTURED, EventType.TRANSACTION_WARNING):
            steps.append((event.time, telling.step(event, texts), detail))
    in_order = sorted(steps, key=lambda step: datetime.fromisoformat(step[0]))
    return [(telling.clock(time), what, detail) for time, what, detail in in_order]


def _receipts(told: Sequence[Told]) -> list[Told]:
    return [event for event in told if event.type == EventType.RECEIPT_CAPTURED]


def _times(told: Sequence[Told], confirm: Confirm | None) -> tuple[str, str]:
    """Until when the terminal is asked, and when people are called; `-` where nobody can say."""
    began = next((event.time for event in told if event.type == EventType.TRANSACTION_PENDING), None)
    if began is None or confirm is None:
        return "-", "-"
    moment = datetime.fromisoformat(began)
    until = moment + timedelta(seconds=confirm.give_up_after_s)
    called = moment + timedelta(seconds=min(confirm.escalate_after_s, confirm.give_up_after_s))
    return f"{until:%Y-%m-%d %H:%M}", f"{called:%Y-%m-%d %H:%M}"
