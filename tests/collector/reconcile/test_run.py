"""A day's run on both databases: what is planted is found, exactly that; again and later runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from collector.ledger import Ledger, cases, reconcile
from collector.ledger.cases import Case
from collector.ledger.entries import Entry, EntryKind, Side
from collector.reconcile.errors import FileError
from collector.reconcile.mapping import load
from collector.reconcile.run import Report, Request, Source, run_day
from tests.collector.conftest import FixedClock
from tests.collector.reconcile.generate import DAY, TERMINALS, Hospital, after, moment

HIS, ALLINPAY = load("his-generic"), load("allinpay")


def reconciled(
    ledger: Ledger, hospital: Hospital, folder: Path, day: str = DAY, *, as_of: int | None = None, close: bool = True
) -> Report:
    hospital.write(folder, day)
    request = request_for(folder, day)
    return run_day(ledger, replace(request, as_of_us=as_of or request.as_of_us, close=close))


def request_for(folder: Path, day: str = DAY) -> Request:
    return Request(
        day=day,
        files=(Source(folder / f"his-{day}.csv", HIS), Source(folder / f"allinpay-{day}.csv", ALLINPAY)),
        as_of_us=moment(after(day, 1), "10:30:00"),
        by="test",
        close=True,
    )


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


def everything_stored(ledger: Ledger, *, lines: bool = True) -> object:
    """All that runs leave, but for the numbers of runs; without `lines`, wherever in its file a row stands."""

    def placed(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        return entries if lines else tuple(replace(entry, line=None) for entry in entries)

    with ledger.read() as connection:
        differences = [
            replace(d, last_run=0, evidence=placed(d.evidence), candidates=placed(d.candidates))
            for d in reconcile.differences(connection)
        ]
        return sorted(differences, key=lambda d: d.id), [
            finding.transaction for finding in reconcile.findings(connection, DAY)
        ]


def test_the_same_files_again_change_nothing(ledger: Ledger, tmp_path: Path) -> None:
    hospital = Hospital(11)
    hospital.everything()
    hospital.store(ledger)
    first = reconciled(ledger, hospital, tmp_path)
    before = everything_stored(ledger)
    with ledger.read() as connection:
        cases_before = list_cases(connection)
    unplaced = everything_stored(ledger, lines=False)
    again = run_day(ledger, request_for(tmp_path))
    assert everything_stored(ledger) == before
    shuffled = reconciled(ledger, hospital, tmp_path)
    assert everything_stored(ledger, lines=False) == unplaced
    assert shuffled.run.counts == first.run.counts
    assert again.run.counts == first.run.counts
    assert (again.stored.new, again.stored.settled, again.stored.proved) == ([], [], [])
    with ledger.read() as connection:
        assert list_cases(connection) == cases_before
        day = reconcile.day(connection, DAY)
    assert day is not None
    assert day.open == len(hospital.expected)
    assert len(cases_before) == len(hospital.expected)  # one a difference


def test_two_runs_at_once_find_each_difference_once(ledger: Ledger, tmp_path: Path) -> None:
    hospital = Hospital(22)
    hospital.everything()
    hospital.store(ledger)
    hospital.write(tmp_path)
    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(lambda _: run_day(ledger, request_for(tmp_path)), range(3)))
    assert [found(report) for report in reports] == [hospital.expected] * 3
    assert sorted(len(report.stored.new) for report in reports) == [0, 0, len(hospital.expected)]
    with ledger.read() as connection:
        assert len(list_cases(connection)) == len(hospital.expected)


def test_what_is_not_closed_opens_no_case_and_settles_nothing(ledger: Ledger, tmp_path: Path) -> None:
    hospital = Hospital(12)
    hospital.pending_proved()
    hospital.store(ledger)
    report = reconciled(ledger, hospital, tmp_path, close=False)
    assert report.run.proved == 1
    assert len(report.differences) == 1
    with ledger.read() as connection:
        assert list_cases(connection) == []
        assert reconcile.findings(connection, DAY) == []


def test_a_payment_after_the_cut_over_waits_for_the_next_file(ledger: Ledger, tmp_path: Path) -> None:
    hospital = Hospital(13)
    hospital.ordinary(3)
    late = hospital.payment(at="23:59:00")
    identity = hospital.seen(late)
    hospital.booked(late, day=after(DAY, 1))  # half a minute later is still this day, but the HIS exported it tomorrow
    hospital.filed(late, day=after(DAY, 1))
    early = hospital.payment(at="00:01:00", day=after(DAY, 1))
    hospital.seen(early)
    hospital.booked(early, day=DAY)
    hospital.filed(early, day=after(DAY, 1))
    hospital.store(ledger)

    first = reconciled(ledger, hospital, tmp_path)
    assert {d.transaction: (d.category, d.status) for d in first.differences} == {
        identity: ("in_transit", "in_transit")
    }
    assert first.agrees

    second = reconciled(ledger, hospital, tmp_path, after(DAY, 1))
    assert second.differences == []
    assert [d.transaction for d in second.stored.settled] == [identity]
    assert second.run.counts == {"matched": 1}

    # both days once more, in the other order: nothing moves
    assert reconciled(ledger, hospital, tmp_path, after(DAY, 1)).stored.settled == []
    assert reconciled(ledger, hospital, tmp_path).differences == []


def test_a_refund_is_awaited_for_seven_working_days(ledger: Ledger, tmp_path: Path) -> None:
    hospital = Hospital(14)
    hospital.ordinary(2)
    refund = hospital.payment(at="15:00:00", kind=EntryKind.REFUND)
    posted, lost = refund, hospital.payment(at="15:10:00", kind=EntryKind.REFUND)
    ids = [hospital.seen(one) for one in (posted, lost)]
    for one in (posted, lost):
        hospital.booked(one)
    hospital.filed(posted, day=after(DAY, 6))
    for day in (after(DAY, 6), after(DAY, 13)):
        payment = hospital.payment(day=day)
        hospital.seen(payment)
        hospital.booked(payment, day=day)
        hospital.filed(payment, day=day)
    hospital.store(ledger)

    first = reconciled(ledger, hospital, tmp_path)
    assert {d.transaction: d.status for d in first.differences} == dict.fromkeys(ids, "in_transit")
    due = moment(
        after(DAY, 10), "12:00:00"
    )  # Thursday + 7 working days are in the file of Thursday; it comes on Friday
    assert {d.due_us for d in first.differences} == {due}

    later_run = reconciled(ledger, hospital, tmp_path, after(DAY, 6))
    assert [d.transaction for d in later_run.stored.settled] == [ids[0]]

    last = reconciled(ledger, hospital, tmp_path, after(DAY, 13))
    with ledger.read() as connection:
        (difference,) = reconcile.differences(connection, day=DAY, status=("open", "in_transit"))
    assert (difference.transaction, difference.category, difference.why) == (
        ids[1],
        "booked_not_charged",
        "approved_not_in_file",
    )
    assert last.differences == []


def test_a_weekend_brings_no_file(ledger: Ledger, tmp_path: Path) -> None:
    friday = "2026-11-27"
    hospital = Hospital(15, day=friday)
    late = hospital.payment(at="23:30:00")
    identity = hospital.seen(late)
    hospital.booked(late)
    hospital.ordinary(2)
    hospital.store(ledger)
    report = reconciled(ledger, hospital, tmp_path, friday, as_of=moment("2026-11-29", "18:00:00"))
    (difference,) = report.differences
    assert difference.transaction == identity
    assert difference.due_us == moment("2026-11-30", "12:00:00")  # Saturday's file comes on Monday


def test_a_booking_made_later_settles_the_difference_and_its_case(ledger: Ledger, tmp_path: Path) -> None:
    hospital = Hospital(16)
    hospital.ordinary(2)
    payment = hospital.payment()
    identity = hospital.seen(payment)
    hospital.filed(payment)
    hospital.store(ledger)
    (difference,) = reconciled(ledger, hospital, tmp_path).differences
    assert difference.case is not None

    hospital.booked(payment, reference=payment.reference)  # the export is made again
    report = reconciled(ledger, hospital, tmp_path)
    assert report.differences == []
    assert report.agrees
    with ledger.read() as connection:
        settled = reconcile.difference(connection, difference.id)
        case = cases.case(connection, int(difference.case))
    assert settled is not None
    assert (settled.status, settled.settled_how) == ("settled", "matched")
    assert case is not None
    assert not case.is_open
    assert case.reason == "balanced"
    assert {entry.side for entry in settled.evidence} == {"journal", "acquirer", "his"}
    assert settled.transaction == identity


def test_what_a_person_settled_stays_settled(ledger: Ledger, tmp_path: Path) -> None:
    hospital = Hospital(17)
    hospital.ordinary(1)
    hospital.booked_by_hand()
    hospital.store(ledger)
    (difference,) = reconciled(ledger, hospital, tmp_path).differences
    with ledger.write() as connection:
        assert reconcile.settle_by_person(connection, difference.id, by="Li", note="booked by mistake", at_us=1)
    assert reconciled(ledger, hospital, tmp_path).differences == []


def test_a_corrected_file_takes_its_proof_back(ledger: Ledger, tmp_path: Path) -> None:
    hospital = Hospital(18)
    hospital.ordinary(2)
    hospital.pending_booked()
    hospital.store(ledger)
    reconciled(ledger, hospital, tmp_path)
    with ledger.read() as connection:
        assert len(reconcile.findings(connection, DAY)) == 1
    pending = hospital.journal[-1]
    filed = hospital.rows[(Side.ACQUIRER, DAY)]
    filed[:] = [entry for entry in filed if entry.order != pending["order_no"]]
    report = reconciled(ledger, hospital, tmp_path)
    assert [(d.category, d.why) for d in report.differences] == [("booked_not_charged", "unknown_but_booked")]
    with ledger.read() as connection:
        assert reconcile.findings(connection, DAY) == []


def test_one_file_at_a_time(ledger: Ledger, tmp_path: Path) -> None:
    hospital = Hospital(19)
    hospital.everything()
    hospital.store(ledger)
    his, acquirer = hospital.write(tmp_path)
    request = Request(day=DAY, files=(Source(his, HIS),), as_of_us=moment(DAY, "18:00:00"), by="test")
    evening = run_day(ledger, request)
    assert {d.category for d in evening.differences} >= {"charged_not_booked", "unknown"}
    # the next morning only the acquirer's file is named; the other is read again from where it was
    request = replace(request, files=(Source(acquirer, ALLINPAY),), as_of_us=moment(after(DAY, 1), "10:30:00"))
    assert found(run_day(ledger, request)) == hospital.expected
    his.unlink()
    with pytest.raises(FileError, match=r"his-2026-11-24\.csv: an earlier run"):
        run_day(ledger, request)


def test_the_only_key_is_weak_and_ambiguous(ledger: Ledger, tmp_path: Path) -> None:
    hospital = Hospital(20)
    for clock in ("10:00:00", "10:02:00"):
        payment = hospital.payment(at=clock, amount=4200, terminal_id="12345671", card=None)
        hospital.seen(payment)
        hospital.filed(payment)
        hospital.booked(payment, reference=None, trace=None, batch=None, order=None)
    hospital.store(ledger)
    report = reconciled(ledger, hospital, tmp_path)
    assert [(d.category, d.confirm) for d in report.differences] == [("matched", True)] * 2
    assert not report.agrees


@pytest.mark.parametrize(("every_s", "confirm"), [(360, 0), (60, 70)])
def test_the_same_fee_all_day_without_any_number(ledger: Ledger, tmp_path: Path, every_s: int, confirm: int) -> None:
    """The export has nothing but terminal, amount and time; one terminal takes the same fee all day."""
    hospital = Hospital(21)
    for number in range(70):
        second = 8 * 3600 + number * every_s
        clock = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
        payment = hospital.payment(at=clock, amount=1000, terminal_id=TERMINALS[0], card=None)
        hospital.seen(payment)
        hospital.filed(payment)
        hospital.booked(payment, reference=None, trace=None, batch=None, order=None)
    hospital.store(ledger)
    report = reconciled(ledger, hospital, tmp_path)
    assert report.run.counts == {"matched": 70}
    assert [d.confirm for d in report.differences] == [True] * confirm


def list_cases(connection: Connection) -> list[Case]:
    return cases.find(connection, cases.Wanted(), 1000)


@pytest.fixture(scope="module")
def one_ledger(empty_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    path = tmp_path_factory.mktemp("many") / "ledger.sqlite"
    shutil.copy(empty_sqlite, path)
    ledger = Ledger.open(f"sqlite:///{path}", FixedClock())
    yield ledger
    ledger.close()


@settings(max_examples=15)
@given(seed=st.integers(100, 10_000))
def test_any_day_gives_exactly_what_was_planted(one_ledger: Ledger, seed: int) -> None:
    """Hypothesis over seeds, on SQLite: each seed is a day of its own in the same ledger."""
    hospital = Hospital(seed, day=after("2020-01-01", seed * 40 % 7000))
    hospital.everything()
    hospital.store(one_ledger)
    with TemporaryDirectory() as folder:
        report = reconciled(one_ledger, hospital, Path(folder), hospital.day)
    assert found(report) == hospital.expected
    assert report.run.counts["matched"] == hospital.matched
