"""docs/drivers.md, "A new dialect in one TOML file": every command of it, as a reader would type it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from agent import tlog
from drivers import registry
from drivers.observations import as_dict
from drivers.profiles.load import load
from tests.drivers.profiles.sample import DOCS, tutorial
from tests.logs import make_profiles, recorder
from tests.test_logs import cut, decoded

SECTION = DOCS.read_text(encoding="utf-8").partition("## A new dialect in one TOML file")[2].partition("\n## ")[0]
CONSOLE = re.findall(r"```console\n\$ (.*?)\n(.*?)```", SECTION, re.DOTALL)
#: the two slips that the tutorial makes on purpose
SLIPS = (("acknowledged = true", "acknowledgd = true"), ('fact = "amount" }', 'fact = "amuont" }'))


def said(command: str, folder: Path) -> str:
    """What the command prints; run from the source tree, whatever is installed."""
    words = shlex.split(command)
    assert words[0] == "tillwatch"
    environment = os.environ | {"LC_ALL": "C.UTF-8", "PYTHONPATH": str(DOCS.parents[1])}
    environment.pop("TILLWATCH_AGENT__LANGUAGE", None)
    run = [sys.executable, "-m", "agent", *words[1:]]
    done = subprocess.run(run, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def test_the_tutorial_has_its_commands() -> None:
    assert len(CONSOLE) == 4


@pytest.mark.parametrize(("command", "printed"), CONSOLE, ids=["slips", "checked", "request", "answer"])
def test_a_command_prints_what_the_tutorial_shows(command: str, printed: str, tmp_path: Path) -> None:
    text = tutorial()
    if "no such key" in printed:
        for right, wrong in SLIPS:
            assert right in text
            text = text.replace(right, wrong, 1)
    (tmp_path / "acme.toml").write_text(text, encoding="utf-8")
    assert said(command, tmp_path).rstrip() == printed.rstrip()


def test_the_profile_makes_logs_that_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Step 5 and 6: installed in the site's folder, its simulated terminal recorded, the log decoded again."""
    (tmp_path / "acme.toml").write_text(tutorial(), encoding="utf-8")
    monkeypatch.setenv("TILLWATCH_PROTOCOLS", str(tmp_path))
    monkeypatch.setattr(recorder, "FOLDER", tmp_path)
    assert "acme" in registry.names()
    driver = registry.get("acme")
    profile = load(registry.profiles()["acme"])
    assert set(make_profiles.cases_of(profile)) == set(make_profiles.CASES)
    make_profiles.make("acme", [make_profiles.approved, make_profiles.garbage])
    for path in sorted(tmp_path.glob("*.tlog")):
        log = tlog.read(path)
        whole = decoded(log, log.records)
        single = [piece for record in log.records for piece in cut(record, list(range(2000)))]
        assert decoded(log, single) == whole
        assert [line["fields"]["outcome"] for line in whole if line["kind"] == "answer"] == ["approved"]  # type: ignore[index]
        assert whole[-1]["kind"] == "ack"
        assert "4975541234514970" not in path.read_text(encoding="utf-8")
    assert driver.asking is not None
    assert [as_dict(seen)["kind"] for seen in driver.decoder(driver.framings[0]).finish()] == []
