"""The units are what systemd takes, and as closed as was promised. Real systemd runs them in `make guest`."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = sorted((Path(__file__).parents[2] / "systemd").glob("*.service"))
MOST = 1.8

each_unit = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)


def analyze(*words: str) -> str:
    program = shutil.which("systemd-analyze")
    assert program, "apt-get install systemd"
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def setting(unit: Path, section: str, key: str) -> list[str]:
    """Every value of a key that may stand several times."""
    inside = re.split(r"(?m)^\[(\w+)\]$", unit.read_text(encoding="utf-8"))
    text = dict(zip(inside[1::2], inside[2::2], strict=True)).get(section, "")
    return re.findall(rf"(?m)^{key}=(.*)$", text)


def unit_of(name: str) -> Path:
    return next(unit for unit in UNITS if unit.stem == f"tillwatch-{name}")


def test_there_are_four() -> None:
    assert [unit.stem.removeprefix("tillwatch-") for unit in UNITS] == ["agent", "bridge", "collector", "passthrough"]


@each_unit
def test_exposure(unit: Path) -> None:
    found = re.search(r"exposure level for \S+: ([\d.]+)", analyze("security", "--offline=true", str(unit)))
    assert found
    assert float(found[1]) <= MOST


@each_unit
def test_systemd_finds_no_mistake(unit: Path, tmp_path: Path) -> None:
    """Verified with a program at the place, for otherwise the missing program is all that is said."""
    program = tmp_path / "tillwatch"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for each in UNITS:
        text = each.read_text(encoding="utf-8").replace("/opt/tillwatch/bin/tillwatch", str(program))
        (tmp_path / each.name).write_text(text, encoding="utf-8")
    said = analyze("verify", "--man=no", str(tmp_path / unit.name))
    assert [line for line in said.splitlines() if "tillwatch" in line] == []


@each_unit
def test_nothing_is_written_that_configparser_would_not_read(unit: Path) -> None:
    """A key outside a section or a broken line would be ignored by systemd with a mere warning."""
    parser = configparser.RawConfigParser(strict=False, allow_no_value=False)
    parser.read_string(unit.read_text(encoding="utf-8"))
    assert {"Unit", "Service"} <= set(parser.sections())


def test_the_bridge_keeps_its_descriptors_and_barks() -> None:
    bridge = unit_of("bridge")
    assert setting(bridge, "Service", "FileDescriptorStoreMax") == ["64"]
    assert "TILLWATCH_FD_STORE=1" in setting(bridge, "Service", "Environment")
    assert setting(bridge, "Service", "ExecReload") == ["/bin/sh -c 'kill -HUP $MAINPID'"]
    assert setting(bridge, "Service", "RuntimeDirectoryPreserve") == ["restart"]
    assert setting(bridge, "Service", "WatchdogSec") == ["30"]


def test_a_storm_of_restarts_ends_in_the_passthrough() -> None:
    bridge, passthrough = unit_of("bridge"), unit_of("passthrough")
    assert setting(bridge, "Unit", "OnFailure") == [passthrough.name]
    assert setting(bridge, "Unit", "StartLimitBurst") == ["10"]
    assert setting(passthrough, "Unit", "Conflicts") == [bridge.name]
    assert setting(passthrough, "Service", "ExecStart") == ["/opt/tillwatch/bin/tillwatch bridge --plain"]


def test_a_virtual_port_may_be_given_to_a_group() -> None:
    """chown is among what systemd calls privileged; without it [agent] port_group would have no effect."""
    for name in ("bridge", "passthrough"):
        assert setting(unit_of(name), "Service", "SystemCallFilter")[-1] == "chown fchownat"
