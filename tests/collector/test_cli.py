"""`tillwatch collector` as a person meets it: one line, the documented exit code, files that are whole or not there."""

from __future__ import annotations

import csv
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli import main
from agent.events import EventType
from collector.ledger import Ledger
from collector.ledger.write import Writer
from tests.collector.conftest import FixedClock
from tests.collector.ledger.events import Till, approved

T = EventType


def filled(database: str) -> None:
    till = Till()
    ledger = Ledger.open(database, FixedClock())
    told = [
        till.event(T.TRANSACTION_COMPLETED, approved(f"P{n}", order="=1+1" if n == 2 else "A"), n * 60)
        for n in range(5)
    ]
    Writer(ledger).store(told)
    ledger.close()


def export(database: str, *words: str) -> int:
    return main(["collector", "export", "--database", database, *words])


def test_payments_as_csv_and_json_lines(database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled(database)
    out = tmp_path / "out.csv"
    assert export(database, "-o", str(out)) == 0
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    assert [row["id"] for row in rows] == ["P0", "P1", "P2", "P3", "P4"]
    assert (rows[0]["amount"], rows[0]["started_at"], rows[0]["final"]) == (
        "3550",
        "2026-03-05T09:30:00.000+00:00",
        "true",
    )
    assert rows[2]["order_no"] == "'=1+1"  # no spreadsheet takes it for a formula

    capsys.readouterr()
    assert export(database, "--what", "events", "--format", "jsonl", "--since", "2026-03-05T09:32:00+00:00") == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [json.loads(row["body"])["subject"] for row in told] == ["P2", "P3", "P4"]


def test_nothing_found_is_exit_1_and_a_bad_time_exit_2(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(database) == 1
    assert export(database, "--since", "soon") == 2
    assert "soon is no time" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_leaves_nothing(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(database)
    assert export(database, "-o", str(tmp_path / "no" / "x.csv")) == 3
    (tmp_path / "dir.csv").mkdir()
    assert export(database, "-o", str(tmp_path / "dir.csv")) == 3
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".dir")] == []
    assert len(capsys.readouterr().err.splitlines()) <= 4


def test_what_is_wrong_is_one_line_and_its_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.log.configure", lambda *_: None)  # the log of the tests stays as it is
    ledger = f"sqlite:///{tmp_path}/ledger.sqlite"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        for words, code, said in (
            (("--database", ledger, "--listen", place), 3, "can't listen"),
            (("--database", "nonsense", "--listen", "127.0.0.1:0"), 2, "neither sqlite"),
            (("--database", "sqlite:////no/such/l.sqlite", "--listen", "127.0.0.1:0"), 2, "is not there"),
            (("--database", ledger, "--listen", "0.0.0.0:0", "--guest", "viewer"), 2, "--guest"),
            (("--database", ledger, "--guest", "king"), 2, "king is no role"),
        ):
            assert main(["collector", *words]) == code
            error = capsys.readouterr().err
            assert len(error.splitlines()) == 1
            assert said in error


def test_without_the_packages_it_says_how_to_get_them(tmp_path: Path) -> None:
    """An agent's environment has no SQLAlchemy: a stand-in that is not there."""
    program = (
        "import sys\n"
        "sys.modules['sqlalchemy'] = None\n"
        "from agent.cli import main\n"
        "sys.exit(main(['collector', '--database', 'sqlite:///x']))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3
    assert "pip install '.[collector]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
