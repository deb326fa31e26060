"""`tillwatch record` at a real bridge, between pyTeliumManager and a simulated terminal."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import tlog
from agent.cli import main
from agent.playback import observe
from drivers.concert import DRIVER
from drivers.driver import Framing
from drivers.observations import Answer, Outcome
from tests.agent.bench import CARD, bench, pay


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLWATCH_AGENT__LANGUAGE", "en")


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    with bench(tmp_path) as path:
        yield path


def test_a_payment_is_recorded_and_decodes(config: Path, tmp_path: Path) -> None:
    output = tmp_path / "paid.tlog"
    command = [sys.executable, "-m", "agent", "record", "pos1", "-o", str(output), "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"Recording pos1 into {output}. Ctrl-C ends it.\n"
        pay(tmp_path)
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")
    assert said.startswith("10 lines of frames")
    assert CARD not in output.read_text()
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    log = tlog.read(output)
    assert (log.header.protocol, log.header.settings) == ("concert", "9600 8N1")
    found = [
        seen.observation
        for seen in observe(log.records, DRIVER, Framing.SERIAL)
        if isinstance(seen.observation, Answer)
    ]
    assert [answer.outcome for answer in found] == [Outcome.APPROVED]
    assert found[0].facts.card is not None
    assert found[0].facts.card.masked == "497554******4970"


def test_a_quiet_line_records_nothing(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "quiet.tlog"
    assert main(["record", "pos1", "-o", str(output), "--seconds", "0.1", "--config", str(config)]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("0 lines")
    assert tlog.read(output).records == ()


def test_refusals(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = tmp_path / "there.tlog"
    there.write_text("precious")
    for name, output, code, told in (
        ("pos2", tmp_path / "new.tlog", 2, "nearest is pos1"),
        ("pos1", there, 2, str(there)),
        ("pos1", tmp_path / "no" / "new.tlog", 3, "can't be written"),
    ):
        assert main(["record", name, "-o", str(output), "--config", str(config)]) == code
        assert told in capsys.readouterr().err
    assert there.read_text() == "precious"


def test_a_terminal_whose_protocol_is_not_written_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "agent.toml"
    config.write_text('[[terminal]]\nname = "pos1"\nprotocol = "auto"\ndevice = "serial:/dev/ttyUSB0"\n')
    output = tmp_path / "new.tlog"
    assert main(["record", "pos1", "-o", str(output), "--config", str(config)]) == 2
    assert "tillwatch status" in capsys.readouterr().err
    assert not output.exists()
