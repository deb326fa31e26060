"""Files laid into a folder are reconciled in the morning, once, whatever the collector does meanwhile."""

from __future__ import annotations

import json
import os
from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from sqlalchemy import select

from collector.alerts.rules import Rule, Webhook, When
from collector.alerts.watch import Watch
from collector.ledger import Ledger, alerts, reconcile
from collector.ledger.tables_alerts import webhook_outbox
from collector.reconcile.nightly import Missing, Nightly, NightlyReconciliation, files_of
from collector.reconcile.run import Report
from tests.collector.conftest import FixedClock
from tests.collector.reconcile.generate import DAY, ZONE, Hospital, after


class Morning:
    """A folder, a duty over it, and what it told."""

    def __init__(self, ledger: Ledger, clock: FixedClock, folder: Path) -> None:
        self.ledger, self.clock, self.folder = ledger, clock, folder
        self.told: list[Report | Missing] = []
        for name in ("his-generic", "allinpay"):
            (folder / name).mkdir(exist_ok=True)
        self.begin()

    def begin(self) -> None:
        """The collector was started (again)."""
        settings = Nightly(folder=self.folder, zone=ZONE, at=time(10, 30), until=time(12, 0))
        self.duty = NightlyReconciliation(self.ledger, settings, self.told.append)

    def lay(self, hospital: Hospital, *, day: str = DAY, acquirer: bool = True) -> None:
        his, pos = hospital.write(self.folder, day)
        his.rename(self.folder / "his-generic" / f"HIS_{day}.csv")
        pos.rename(self.folder / "allinpay" / f"pos{day.replace('-', '')}01.csv")
        if not acquirer:
            (self.folder / "allinpay" / f"pos{day.replace('-', '')}01.csv").unlink()

    def at(self, day: str, clock: str) -> list[Report | Missing]:
        """Two turns at that time; what they told."""
        self.told.clear()
        self.clock.now = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=ZONE)
        for _ in range(2):
            self.duty.turn()
        return list(self.told)


def going_on(ledger: Ledger) -> list[alerts.Incident]:
    with ledger.read() as connection:
        return alerts.going_on(connection, 10)


@pytest.fixture
def hospital(ledger: Ledger) -> Hospital:
    hospital = Hospital(31)
    hospital.ordinary(4)
    hospital.not_booked()
    hospital.store(ledger)
    return hospital


@pytest.fixture
def morning(ledger: Ledger, clock: FixedClock, tmp_path: Path) -> Morning:
    return Morning(ledger, clock, tmp_path)


def test_a_day_is_reconciled_once_in_the_morning(morning: Morning, hospital: Hospital) -> None:
    hospital_name = "pos2026112401.csv"
    morning.lay(hospital)
    (morning.folder / "allinpay" / hospital_name).rename(morning.folder / "allinpay" / "pos-20261124.csv")
    assert morning.at(after(DAY, 1), "10:29:00") == []
    (report,) = morning.at(after(DAY, 1), "10:30:00")
    assert isinstance(report, Report)
    assert [d.category for d in report.differences] == ["charged_not_booked"]
    assert report.differences[0].case is not None
    assert morning.at(after(DAY, 1), "10:31:00") == []
    morning.begin()  # a restart makes nothing new
    assert morning.at(after(DAY, 1), "10:40:00") == []


def test_a_missing_file_is_waited_for_until_noon_then_told_once(morning: Morning, hospital: Hospital) -> None:
    morning.lay(hospital, acquirer=False)
    assert morning.at(after(DAY, 1), "11:59:00") == []
    missing, report = morning.at(after(DAY, 1), "12:00:00")
    assert missing == Missing(DAY, ("allinpay",))
    assert isinstance(report, Report)
    assert report.run.sides.keys() == {"his"}
    assert morning.at(after(DAY, 1), "12:01:00") == []
    (shown,) = going_on(morning.ledger)
    assert (shown.key, shown.detail["formats"]) == (DAY, ["allinpay"])
    Watch(morning.ledger, (), (), clock=morning.clock).turn()  # it is no rule's, and no rule ends it
    assert going_on(morning.ledger) == [shown]
    # it comes in the afternoon after all
    his, pos = hospital.write(morning.folder)
    pos.rename(morning.folder / "allinpay" / f"pos-{DAY}.csv")
    his.unlink()
    (late,) = morning.at(after(DAY, 1), "15:00:00")
    assert isinstance(late, Report)
    assert late.run.sides.keys() == {"his", "acquirer"}
    assert going_on(morning.ledger) == []


def test_a_missing_file_calls_people_like_any_other_trouble(morning: Morning, hospital: Hospital) -> None:
    rule = Rule(name="books", when=When.FILE_MISSING, after_s=600)
    watch = Watch(morning.ledger, [rule], [Webhook(name="finance", url="http://127.0.0.1:9/")], clock=morning.clock)
    morning.lay(hospital, acquirer=False)

    def told() -> list[dict[str, Any]]:
        watch.turn()
        with morning.ledger.read() as connection:
            bodies = connection.execute(select(webhook_outbox.c.body).order_by(webhook_outbox.c.number)).scalars()
            return [json.loads(body) for body in bodies]

    morning.at(after(DAY, 1), "12:00:00")
    assert told() == [], "not yet ten minutes"
    morning.at(after(DAY, 1), "12:10:00")
    (message,) = told()
    assert (message["state"], message["when"], message["detail"]["formats"]) == ("firing", "file_missing", ["allinpay"])
    assert (
        message["summary"]["en"] == f"The files of allinpay for {DAY} have not come: the day is not reconciled in full."
    )
    assert DAY in message["summary"]["zh-CN"]
    (shown,) = going_on(morning.ledger)
    assert shown.rule == "books", "shown once, though the nightly run notes it without any rule as well"
    # what comes then can't be read, which is no better
    target = morning.folder / "allinpay" / f"{DAY}.csv"
    target.write_text("not,what,was,agreed\n1,2,3,4\n")
    morning.at(after(DAY, 1), "12:20:00")
    assert len(told()) == 1
    _, pos = hospital.write(morning.folder)
    pos.rename(target)
    morning.at(after(DAY, 1), "12:30:00")
    assert [one["state"] for one in told()] == ["firing", "resolved"]
    assert going_on(morning.ledger) == []


def test_nobody_waits_for_ever_for_a_file(morning: Morning, hospital: Hospital) -> None:
    morning.lay(hospital, acquirer=False)
    watch = Watch(morning.ledger, (), (), clock=morning.clock)
    assert any(isinstance(news, Missing) for news in morning.at(after(DAY, 1), "23:00:00"))
    watch.turn()
    assert [shown.key for shown in going_on(morning.ledger)] == [DAY]
    morning.clock.advance(days=8)
    watch.turn()
    assert going_on(morning.ledger) == []


def test_a_folder_that_can_not_be_listed_is_said_once(morning: Morning, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_folder: Path) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("collector.reconcile.nightly.formats_in", refused)
    log = Mock()
    monkeypatch.setattr(morning.duty, "log", log)
    assert morning.at(after(DAY, 1), "12:00:00") == []
    log.error.assert_called_once_with("reconcile.folder_unreadable", reason=f"{morning.folder}: Permission denied")


def test_a_file_that_grows_is_left_alone(morning: Morning, hospital: Hospital) -> None:
    his, pos = hospital.write(morning.folder)
    his.rename(morning.folder / "his-generic" / f"{DAY}.csv")
    whole = pos.read_bytes()
    pos.unlink()
    target = morning.folder / "allinpay" / f"{DAY}.csv"
    morning.clock.now = datetime.fromisoformat(f"{after(DAY, 1)}T10:30").replace(tzinfo=ZONE)
    for size in (100, 900, len(whole)):
        target.write_bytes(whole[:size])
        os.utime(target, ns=(size, size))
        morning.duty.turn()
        assert morning.told == []
    morning.duty.turn()
    assert len(morning.told) == 1


def test_fridays_file_is_expected_on_monday(morning: Morning, ledger: Ledger) -> None:
    friday = "2026-11-27"
    hospital = Hospital(32, day=friday)
    hospital.ordinary(2)
    hospital.store(ledger)
    morning.lay(hospital, day=friday)
    (morning.folder / "allinpay" / "pos2026112701.csv").rename(morning.folder / "allinpay" / "pos-20261127.csv")
    assert morning.at("2026-11-28", "13:00:00") == []
    assert [type(news) for news in morning.at("2026-11-30", "10:30:00")] == [Report]


def test_a_file_that_can_not_be_read_is_said_and_tried_again_when_it_changed(
    morning: Morning, hospital: Hospital, ledger: Ledger
) -> None:
    morning.lay(hospital)
    target = morning.folder / "allinpay" / f"{DAY}.csv"
    target.write_text("not,what,was,agreed\n1,2,3,4\n")
    assert morning.at(after(DAY, 1), "11:00:00") == []
    with ledger.read() as connection:
        assert reconcile.days(connection) == []
    (shown,) = going_on(ledger)
    assert str(target) in shown.detail["why"]["en"]
    assert "。" in shown.detail["why"]["zh-CN"]
    _, pos = hospital.write(morning.folder)
    pos.rename(target)
    assert [type(news) for news in morning.at(after(DAY, 1), "11:05:00")] == [Report]
    assert going_on(ledger) == []


def test_only_the_days_own_finished_file_counts(tmp_path: Path) -> None:
    (tmp_path / "allinpay").mkdir()
    for name in ("x20261124.csv.part", ".x20261124.csv", "x120261124.csv", "x2026-11-23.csv"):
        (tmp_path / "allinpay" / name).touch()
    assert files_of(tmp_path, ["allinpay"], date(2026, 11, 24)) == {}
    (tmp_path / "allinpay" / "x_20261124_1.csv").touch()
    assert files_of(tmp_path, ["allinpay"], date(2026, 11, 24)).keys() == {"allinpay"}
