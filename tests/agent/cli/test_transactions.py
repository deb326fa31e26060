"""`tillwatch transactions`: a row each; that none matches is said, and is exit code 1."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli import main
from agent.journal import Journal
from tests.agent.configured import TERMINAL
from tests.agent.lines import Play, answer, cashier_ack, request


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The configuration of an agent whose journal has one approved payment."""
    play = Play()
    play.see(request(), answer(), cashier_ack())
    journal = Journal(tmp_path, "site", "pc-1")
    journal.commit(play.drafts, {"pos1": play.book})
    journal.close()
    path = tmp_path / "agent.toml"
    path.write_text(f'[agent]\nid = "pc-1"\nstate_dir = "{tmp_path}"\nlanguage = "en"\n{TERMINAL}', encoding="utf-8")
    return path


def test_a_payment_is_a_row(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["transactions", "--config", str(config)]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.startswith("time")
    assert "12.34 CNY" in row


def test_that_none_matches_is_said_and_1(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wanted, said in (
        (["--last4", "0000"], "No transaction matches.\n"),
        (["--pending"], "No transaction is in doubt.\n"),
        (["--pending", "--amount", "1"], "No transaction matches.\n"),
        (["--limit", "99999999999999999999", "--since", "9999-12-31"], "No transaction matches.\n"),
        (["--pending", "--json"], ""),
    ):
        assert main(["transactions", *wanted, "--config", str(config)]) == 1
        assert capsys.readouterr().out == said


def test_a_terminal_that_can_not_show_chinese_gets_escapes_that_json_readers_understand(config: Path) -> None:
    """A window of an older system speaks no UTF-8."""
    for more in ([], ["--json"]):
        done = subprocess.run(
            [sys.executable, "-m", "agent", "transactions", "--config", str(config), *more],
            env={"PYTHONIOENCODING": "ascii", "TILLWATCH_AGENT__LANGUAGE": "zh-CN"},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.isascii()
    assert json.loads(done.stdout)["response_text"]["zh-CN"]
