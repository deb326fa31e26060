"""`tillwatch check`: lines, exit codes, and what programs get."""

from __future__ import annotations

import json
import os
import pty
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli import main
from tests.broker import Broker


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")


@pytest.fixture
def device() -> Iterator[str]:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    path = os.ttyname(theirs)
    os.close(theirs)
    yield path
    os.close(ours)


def write(folder: Path, device: str, more: str = "") -> str:
    path = folder / "agent.toml"
    path.write_text(
        f'[agent]\nstate_dir = "{folder}/state"\nrun_dir = "{folder}/run"\n{more}\n'
        f'[[terminal]]\nname = "pos1"\nprotocol = "concert"\ndevice = "serial:{device}"\n'
    )
    return str(path)


def test_a_good_machine_is_0(tmp_path: Path, device: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", write(tmp_path, device)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok    configuration: ")
    assert f"ok    pos1: device: {device} opens with 9600 8N1" in lines
    assert lines[-1].endswith(" 0 failed")
    assert all(line[:6] in ("ok    ", "warn  ") for line in lines[:-1])


def test_a_failure_is_1_and_says_the_mend(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", write(tmp_path, "/dev/nowhere")]) == 1
    out = capsys.readouterr().out
    assert "fail  pos1: device: /dev/nowhere is not there → plug the terminal in" in out
    assert "1 failed" in out


def test_a_broker_that_is_down_is_a_failed_check_and_not_3(
    tmp_path: Path, device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = Broker(tmp_path / "dead").url
    assert main(["check", "--config", write(tmp_path, device, f'[mqtt]\nurl = "{url}"')]) == 1
    assert "fail  broker: " in capsys.readouterr().out


def test_a_wrong_configuration_is_2_and_lists_all_problems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "/dev/x", 'sight = 1\nlanguage = "fr"\n[log]\nlevel = "loud"')
    assert main(["check", "--config", path]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    assert [line.split(": ")[1:3] for line in lines] == [
        [f"{path}:4", "agent.sight"],
        [f"{path}:5", "agent.language"],
        [f"{path}:7", "log.level"],
    ]


def test_programs_get_each_check(tmp_path: Path, device: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json", "--config", write(tmp_path, device)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["state"] for row in rows} <= {"ok", "warn"}
    found = next(row for row in rows if row["check"] == "device")
    assert (found["terminal"], found["state"], found["mend"]) == ("pos1", "ok", None)


def test_programs_get_each_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "/dev/x", "sight = 1")
    assert main(["check", "--json", "--config", path]) == 2
    rows = json.loads(capsys.readouterr().out)
    assert [(row["check"], row["state"], row["key"], row["where"]) for row in rows] == [
        ("configuration", "fail", "agent.sight", f"{path}:4")
    ]


def test_the_configured_language_is_spoken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", write(tmp_path, "/dev/nowhere", 'language = "zh-CN"')]) == 1
    assert "fail  pos1: 设备: /dev/nowhere 不存在 → 请插好终端并开机" in capsys.readouterr().out


def test_nothing_is_made_by_checking(tmp_path: Path, device: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "--config", write(tmp_path, device)])
    capsys.readouterr()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["agent.toml"]
