"""`diag --watch` where it can't be shown: one line, and the exit code."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli import diag_watch, main
from tests.agent.bench import bench

CONFIG = (
    '[agent]\nrun_dir = "{run}"\n\n[[terminal]]\nname = "pos1"\nprotocol = "concert"\ndevice = "serial:/dev/ttyS9"\n'
)


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLWATCH_AGENT__LANGUAGE", "en")


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    with bench(tmp_path) as path:
        yield path


def refused(capsys: pytest.CaptureFixture[str], config: Path, *options: str) -> tuple[int, str]:
    code = main(["diag", "--watch", "--config", str(config), *options])
    (line,) = capsys.readouterr().err.splitlines()
    return code, line


def test_without_a_bridge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(CONFIG.format(run=tmp_path / "run"))
    code, line = refused(capsys, path)
    assert code == 3
    assert "bridge" in line


def test_without_textual_it_says_how_to_get_it(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        diag_watch, "find_spec", lambda name: None if name == "textual" else importlib.util.find_spec(name)
    )
    code, line = refused(capsys, config)
    assert code == 3
    assert "pip install" in line


def test_without_a_terminal_window_or_with_an_unknown_name(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, line = refused(capsys, config)
    assert code == 2
    assert "tillwatch record" in line
    code, line = refused(capsys, config, "--terminal", "pos2")
    assert code == 2
    assert "nearest is pos1" in line
