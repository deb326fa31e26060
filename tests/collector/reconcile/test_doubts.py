"""A payment that a file proved is in doubt no more; what its agent told stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from collector.cases.evidence import of_payment
from collector.ledger import Ledger, export, lookup, reconcile, views_overview, views_payments
from tests.collector.reconcile.generate import DAY, Hospital, moment
from tests.collector.reconcile.test_run import reconciled


def two_doubts(ledger: Ledger) -> tuple[Hospital, str, str]:
    """A day with two payments in doubt: one that the acquirer's file will prove, and one that is in no file."""
    hospital = Hospital(51)
    hospital.ordinary(2)
    hospital.pending_booked()
    hospital.pending_nowhere()
    hospital.store(ledger)
    (proved,) = hospital.proved
    (nowhere,) = hospital.expected
    return hospital, proved, nowhere


def test_a_proved_payment_is_in_doubt_no_more(ledger: Ledger, tmp_path: Path) -> None:
    hospital, proved, nowhere = two_doubts(ledger)
    now_us = moment(DAY, "20:00:00")
    with ledger.read() as connection:
        assert views_payments.count_doubts(connection, now_us) == 2
    reconciled(ledger, hospital, tmp_path)
    with ledger.read() as connection:
        assert [payment.id for payment in views_payments.doubts(connection, now_us, 10)] == [nowhere]
        assert views_payments.count_doubts(connection, now_us) == 1
        payment = views_payments.by_ids(connection, [proved])[proved]
        finding = reconcile.finding_of(connection, proved)
    assert (payment.outcome, payment.reconciled_as) == ("unknown", "matched")
    with ledger.read() as connection:  # and so says the API
        doubtful = lookup.find(connection, lookup.Filter(pending=True), 10)
        others = lookup.find(connection, lookup.Filter(pending=False), 10)
    assert [(one.id, one.pending) for one in doubtful] == [(nowhere, True)]
    assert {one.id: one.proved_as for one in (*doubtful, *others)}[proved] == "approved"
    assert (proved, False) in [(one.id, one.pending) for one in others]
    assert finding is not None
    assert (finding.outcome, finding.key) == ("approved", "order")


def test_lists_and_figures_tell_the_truth_of_the_file(ledger: Ledger, tmp_path: Path) -> None:
    hospital, proved, nowhere = two_doubts(ledger)
    midnight_us = moment(DAY, "00:00:00")

    def figures() -> tuple[Mapping[str, int], int]:
        with ledger.read() as connection:
            day = views_overview.day(connection, midnight_us)
            minutes = views_overview.per_minute(connection, midnight_us, moment(DAY, "23:59:00"))
        return day.counts, sum(failed for _, _, failed in minutes)

    def listed(state: str | None = None) -> dict[str, tuple[str, bool]]:
        with ledger.read() as connection:
            rows = views_payments.payments(connection, views_payments.Wanted(state=state), 20)
        return {row.id: (row.state, row.pending) for row in rows}

    assert figures() == ({"approved": 2, "unknown": 2}, 2)
    assert listed("doubt") == {proved: ("unknown", True), nowhere: ("unknown", True)}
    reconciled(ledger, hospital, tmp_path)
    assert figures() == ({"approved": 3, "unknown": 1}, 1)
    assert listed()[proved] == ("approved", False)
    assert proved in listed("approved")
    assert listed("doubt") == {nowhere: ("unknown", True)}
    with ledger.read() as connection:
        evidence = of_payment(connection, proved)
        exported = {row["id"]: row for row in export.rows(connection, "transactions", 0, 1 << 60)}
    assert (exported[proved]["pending"], exported[proved]["proved_as"]) == (False, "approved")
    assert (exported[nowhere]["pending"], exported[nowhere]["proved_as"]) == (True, None)
    assert evidence is not None
    assert (evidence.data.outcome, evidence.data.charged, evidence.data.delivered) == ("approved", "yes", "yes")
