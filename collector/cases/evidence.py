"""What is known of a case, in one frozen value, and the papers made from it: the patient's proof, the evidence as JSON.

Reads the ledger, writes nothing. Card numbers are masked there already; what leaves the house is looked through once
more (scan.py).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from agent import proof
from agent.config import Agent, Proof
from agent.events import TransactionData
from agent.history import Told
from collector.ledger import cases, lookup, reconcile
from collector.ledger.cases import Case, Entry
from collector.ledger.lookup import Found, Kept, Slip
from collector.ledger.published import read_json, transaction_of
from collector.texts import Texts


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment with everything that was told of it. `data`: as it stands, by its agent or the acquirer's file."""

    found: Found
    data: TransactionData
    events: tuple[Kept, ...]
    slips: tuple[Slip, ...]

    @property
    def told(self) -> list[Told]:
        """The events in the form that the agent's papers take."""
        bodies = [(event, read_json(event.body)) for event in self.events if event.projected]
        return [Told(event.sequence, event.type, body["time"], body["data"]) for event, body in bodies]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A case with its history, the payment it is about, and the related one; None where there is none."""

    case: Case
    history: tuple[Entry, ...]
    payment: Payment | None
    related: Payment | None


def of_payment(connection: Connection, transaction: str) -> Payment | None:
    """Everything about a payment; None when the ledger does not know it."""
    found = lookup.one(connection, transaction)
    if found is None:
        return None
    data, finding = transaction_of(found.data), reconcile.finding_of(connection, transaction)
    if finding is not None and not data.final:
        data = finding.told_by(data, booked=found.reconciled_as == "matched")
    return Payment(
        found,
        data,
        tuple(lookup.told(connection, transaction)),
        tuple(lookup.slips(connection, transaction)),
    )


def of_case(connection: Connection, case: Case) -> Evidence:
    """Everything about a case."""
    return Evidence(
        case,
        tuple(cases.history(connection, case.number)),
        of_payment(connection, case.transaction) if case.transaction else None,
        of_payment(connection, case.related) if case.related else None,
    )


def proof_page(payment: Payment, texts: Texts, now: datetime, *, hospital: str | None, contact: str | None) -> str:
    """The patient's proof, as the agent at the window prints it. `now`: local time."""
    found = payment.found
    nowhere = Path()  # folders of the cashier PC: no paper shows them
    where = Agent(id=found.agent, site=found.site, state_dir=nowhere, run_dir=nowhere, language=texts.language)
    about = proof.About(where, Proof(hospital=hospital, contact=contact), None)
    return proof.page(payment.data, payment.told, about, texts, now)


def as_json(evidence: Evidence, made: str) -> str:
    """The evidence for a machine: events exactly as received with their digests, the history with its chain."""
    body = {
        "made": made,
        "case": asdict(evidence.case),
        "history": [asdict(entry) for entry in evidence.history],
        "transaction": _payment(evidence.payment),
        "related": _payment(evidence.related),
    }
    return json.dumps(body, ensure_ascii=False, indent=2) + "\n"


def _payment(payment: Payment | None) -> dict[str, Any] | None:
    if payment is None:
        return None
    found = payment.found
    return {
        "site": found.site,
        "agent": found.agent,
        "data": dict(found.data),
        "events": [
            {"sha256": sha256(event.body.encode()).hexdigest(), "received_us": event.received_us, "body": event.body}
            for event in payment.events
        ],
        "receipts": [asdict(slip) for slip in payment.slips],
    }
