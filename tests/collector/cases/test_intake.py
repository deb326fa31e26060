"""From events to cases: what needs people is opened once, what became known is said, what is done closes itself."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from collector.access.people import SYSTEM
from collector.cases import Status, book, intake
from collector.ledger import Ledger, cases
from collector.ledger.cases import Case
from collector.ledger.write import Writer
from tests.collector.planted import NOW_US, change, data_of, identity, plant, told

UNKNOWN = {"outcome": "unknown", "charged": "unknown", "delivered": "unknown", "final": False, "reason": "link_lost"}


def take(ledger: Ledger, *kinds: str, number: int = 1, **values: Any) -> None:
    with ledger.write() as connection:
        intake.take(connection, [told(kind, data_of(number, **values)) for kind in kinds], NOW_US)


def all_cases(ledger: Ledger) -> list[Case]:
    with ledger.read() as connection:
        return cases.find(connection, cases.Wanted(), 100)[::-1]


def actions(ledger: Ledger, number: int) -> list[str]:
    with ledger.read() as connection:
        return [entry.action for entry in cases.history(connection, number)]


def test_a_payment_that_went_well_is_nobodys_case(ledger: Ledger) -> None:
    plant(ledger)
    take(ledger, "transaction.started", "transaction.completed", "receipt.captured")
    assert all_cases(ledger) == []


def test_an_escalation_opens_one_case_and_a_late_approval_leaves_it_to_people(ledger: Ledger) -> None:
    payment = plant(ledger, **UNKNOWN, escalated_us=NOW_US)
    for _ in range(3):
        take(ledger, "transaction.escalated", **UNKNOWN)
    (case,) = all_cases(ledger)
    assert (case.kind, case.subject, case.status, case.amount) == ("escalated", payment, "open", 3550)
    assert case.due_us is not None
    assert case.due_us > NOW_US
    change(ledger, payment, outcome="approved", charged="yes", delivered="no", final=True, how="last_result")
    take(ledger, "transaction.confirmed")
    escalated, undelivered = all_cases(ledger)
    assert (escalated.status, escalated.settled_as) == ("open", "approved")
    assert undelivered.kind == "undelivered", "charged and not delivered is a case of its own"
    take(ledger, "transaction.confirmed")
    assert actions(ledger, escalated.number) == ["opened", "settled"], "a repeated event says nothing twice"


@pytest.mark.parametrize(
    ("stands", "reason"),
    [
        ({"outcome": "declined", "charged": "no", "delivered": "no"}, "not_charged"),
        ({"outcome": "not_executed", "charged": "no", "delivered": "unknown"}, "not_charged"),
        ({"outcome": "reversed", "charged": "no", "delivered": "no"}, "reversed"),
        ({"outcome": "approved", "charged": "yes", "delivered": "yes"}, "settled"),
    ],
)
def test_a_case_with_nothing_left_to_do_closes_itself(ledger: Ledger, stands: dict[str, Any], reason: str) -> None:
    payment = plant(ledger, **UNKNOWN, escalated_us=NOW_US)
    take(ledger, "transaction.escalated")
    change(ledger, payment, **stands, final=True)
    take(ledger, "transaction.confirmed")
    (case,) = all_cases(ledger)
    assert (case.status, case.reason, case.settled_as) == ("closed", reason, stands["outcome"])
    assert actions(ledger, case.number) == ["opened", "settled", "status"]


def test_a_refund_that_was_agreed_is_never_closed_by_itself(ledger: Ledger) -> None:
    payment = plant(ledger, **UNKNOWN, escalated_us=NOW_US)
    take(ledger, "transaction.escalated")
    number = all_cases(ledger)[0].number
    with ledger.write() as connection:
        case = book.known(connection, number)
        book.write_down(connection, case, "status", {}, now_us=NOW_US, by=SYSTEM, status=Status.REFUND_AGREED.value)
    change(ledger, payment, outcome="declined", charged="no", final=True)
    take(ledger, "transaction.confirmed")
    (case,) = all_cases(ledger)
    assert (case.status, case.settled_as) == ("refund_agreed", "declined")


def test_the_order_in_which_events_come_does_not_matter(ledger: Ledger) -> None:
    kinds = ("transaction.pending", "transaction.escalated", "transaction.confirmed")
    for number, order in enumerate(permutations(kinds), start=1):
        plant(ledger, number, outcome="declined", charged="no", delivered="no", escalated_us=NOW_US)
        for kind in order:
            take(ledger, kind, number=number)
    found = all_cases(ledger)
    assert len(found) == 6
    assert {(case.kind, case.status, case.reason) for case in found} == {("escalated", "closed", "not_charged")}


def test_a_possible_double_charge_closes_when_only_one_was_charged(ledger: Ledger) -> None:
    first = plant(ledger, 1, **UNKNOWN)
    plant(ledger, 2, related=first)
    take(ledger, "transaction.warning", number=2, warning="possible_double_charge", related=first)
    (case,) = all_cases(ledger)
    assert (case.kind, case.subject, case.status) == ("double_charge", identity(2), "open")
    change(ledger, first, outcome="reversed", charged="no", final=True, related=identity(2))
    take(ledger, "transaction.confirmed", number=1)
    (case,) = all_cases(ledger)
    assert (case.status, case.reason) == ("closed", "paid_once")


def test_a_double_charge_that_is_one_stays_open(ledger: Ledger) -> None:
    first = plant(ledger, 1, **UNKNOWN)
    plant(ledger, 2, related=first)
    take(ledger, "transaction.warning", number=2, warning="possible_double_charge", related=first)
    change(ledger, first, outcome="approved", charged="yes", delivered="yes", final=True)
    take(ledger, "transaction.confirmed", number=1)
    case = next(case for case in all_cases(ledger) if case.kind == "double_charge")
    assert (case.status, case.settled_as) == ("open", "charged_twice")


@pytest.mark.parametrize(
    ("matches", "balanced", "opens"), [(True, True, 0), (None, None, 0), (False, None, 1), (True, False, 1)]
)
def test_a_settlement_that_does_not_agree_is_a_case(
    ledger: Ledger, matches: bool | None, balanced: bool | None, opens: int
) -> None:
    data = {
        "transaction": None, "terminal": "pos1", "totals": [], "journal_count": 3, "journal_amount": 900,
        "matches": matches, "balanced": balanced,
    }  # fmt: skip
    for _ in range(2):
        with ledger.write() as connection:
            intake.take(connection, [told("settlement.completed", data, sequence=9)], NOW_US)
    found = all_cases(ledger)
    assert len(found) == opens
    assert [case.subject for case in found] == ["cashier-01:e1:9"] * opens


def test_ingest_opens_the_case_in_the_transaction_that_stores_the_events(ledger: Ledger) -> None:
    writer = Writer(ledger, intake.take)
    data = data_of(1, **UNKNOWN)
    batch = [
        told("transaction.started", {**data, "reason": None}, sequence=1),
        told("transaction.pending", data, sequence=2),
        told("transaction.escalated", {**data, "call": "final"}, sequence=3),
    ]
    writer.store(batch)
    writer.store(batch)
    (case,) = all_cases(ledger)
    assert (case.kind, case.transaction, case.status) == ("escalated", identity(1), "open")
    assert actions(ledger, case.number) == ["opened"]
