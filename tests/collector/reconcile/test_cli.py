"""`tillwatch reconcile`: what it prints, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.cli import main
from collector.ledger import Ledger, reconcile
from tests.collector.reconcile.generate import DAY, Hospital


@pytest.fixture
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "TILLWATCH_AGENT__LANGUAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "en_US.UTF-8")


@pytest.fixture
def hospital(ledger: Ledger, english: None) -> Hospital:
    hospital = Hospital(41)
    hospital.ordinary(3)
    return hospital


def command(database: str, folder: Path, *more: str) -> list[str]:
    return [
        *("reconcile", "--database", database, "--day", DAY, "--as-of", "2026-11-25T10:30"),
        *("--his", str(folder / f"his-{DAY}.csv"), "--his-format", "his-generic"),
        *("--acquirer", str(folder / f"allinpay-{DAY}.csv"), "--acquirer-format", "allinpay"),
        *more,
    ]


def test_all_agrees(
    hospital: Hospital, ledger: Ledger, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hospital.store(ledger)
    hospital.write(tmp_path)
    assert main(command(database, tmp_path)) == 0
    told = capsys.readouterr()
    assert "Everything agrees." in told.out
    assert "matched: 3" in told.out
    assert told.err == ""


def test_differences_in_words(
    hospital: Hospital,
    ledger: Ledger,
    database: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hospital.not_booked()
    hospital.store(ledger)
    hospital.write(tmp_path)
    assert main(command(database, tmp_path)) == 1
    told = capsys.readouterr().out
    assert "charged, not booked" in told
    assert "never swipe again" in told
    assert f"allinpay-{DAY}.csv:" in told
    assert "--close" in told
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert main(command(database, tmp_path)) == 1
    assert "切勿再次刷卡" in capsys.readouterr().out


def test_json(
    hospital: Hospital, ledger: Ledger, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hospital.pending_proved()
    hospital.store(ledger)
    hospital.write(tmp_path)
    assert main(command(database, tmp_path, "--close", "--json")) == 1
    told = json.loads(capsys.readouterr().out)
    (difference,) = told["differences"]
    assert (told["counts"]["matched"], told["proved"], difference["category"]) == (3, 1, "charged_not_booked")
    assert {row["side"] for row in difference["evidence"]} == {"journal", "acquirer"}
    assert set(difference["explanation"]) == {"en", "zh-CN"}
    assert difference["case"] is not None
    with ledger.read() as connection:
        finding = reconcile.finding_of(connection, difference["transaction"])
    assert finding is not None
    assert (finding.outcome, finding.file) == ("approved", f"allinpay-{DAY}.csv")


def test_a_bad_row_is_shown_and_counts(
    hospital: Hospital, ledger: Ledger, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hospital.store(ledger)
    _, acquirer = hospital.write(tmp_path)
    with acquirer.open("a", encoding="utf-8") as file:
        file.write("1,2,3\r\n")
    assert main(command(database, tmp_path)) == 1
    assert f"allinpay-{DAY}.csv:5: the row has 3 columns" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"--day": "24.11.2026"}, "'24.11.2026' is no day"),
        ({"--as-of": "soon"}, "'soon' is no time"),
        ({"--his-format": "his-generik"}, "Did you mean his-generic?"),
        ({"--his-format": "allinpay"}, "describes a file for acquirer, not for his"),
        ({"--his": "/nowhere/his.csv"}, "/nowhere/his.csv: can't be read"),
        ({"--acquirer-format": None}, "say the format of the acquirer file"),
        ({"--acquirer": None, "--his": None, "--acquirer-format": None, "--his-format": None}, "no file to reconcile"),
    ],
)
def test_wrong_usage_is_one_line(
    hospital: Hospital,
    database: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, str | None],
    told: str,
) -> None:
    hospital.write(tmp_path)
    words = command(database, tmp_path)
    for option, value in change.items():
        place = words.index(option)
        words[place : place + 2] = [] if value is None else [option, value]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1


def test_no_ledger_to_be_reached(english: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Hospital(42).write(tmp_path)
    assert main(command("postgresql://nobody@127.0.0.1:1/none", tmp_path)) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_the_file_of_another_day_stores_nothing(
    hospital: Hospital, ledger: Ledger, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hospital.store(ledger)
    hospital.write(tmp_path)
    words = command(database, tmp_path)
    words[words.index("--day") + 1] = "2026-10-01"
    assert main(words) == 2
    assert "no row is of 2026-10-01" in capsys.readouterr().err
    with ledger.read() as connection:
        assert reconcile.days(connection) == []
