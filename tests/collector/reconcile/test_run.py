"""A day's run on both databases: what is planted is found, exactly that; again and later runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.ledger import Ledger, reconcile
from collector.reconcile.mapping import load
from collector.reconcile.run import Report, Request, Source, run_day
from tests.collector.reconcile.generate import DAY, Hospital, after, moment

HIS, ALLINPAY = load("his-generic"), load("allinpay")


def reconciled(
    ledger: Ledger, hospital: Hospital, folder: Path, day: str = DAY, *, as_of: int | None = None, close: bool = True
) -> Report:
    his, acquirer = hospital.write(folder, day)
    request = Request(
        day=day,
        files=(Source(his, HIS), Source(acquirer, ALLINPAY)),
        as_of_us=as_of or moment(after(day, 1), "10:30:00"),
        by="test",
        close=close,
    )
    return run_day(ledger, request)


def found(report: Report) -> dict[str, tuple[str, str]]:
    return {d.transaction or d.reference or d.order_no or "": (d.category, d.why) for d in report.differences}


@pytest.mark.parametrize("seed", range(3))
def test_exactly_what_was_planted_is_found(ledger: Ledger, tmp_path: Path, seed: int) -> None:
    hospital = Hospital(seed)
    hospital.everything()
    hospital.store(ledger)
    report = reconciled(ledger, hospital, tmp_path)
    assert found(report) == hospital.expected
    assert report.run.counts["matched"] == hospital.matched
    with ledger.read() as connection:
        proved = {finding.transaction: finding.outcome for finding in reconcile.findings(connection, DAY)}
    assert proved == hospital.proved
    assert not report.bad
    assert all(file.total_ok is not False for file in report.run.files)
