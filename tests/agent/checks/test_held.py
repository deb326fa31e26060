"""A port that somebody else has: each known program has its own mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.checks import State
from agent.checks.held import held, unit_of
from drivers.links.holders import Holder
from tests.agent.checks.checked import said


def process(proc: Path, pid: int, command: str = "", cgroup: str = "") -> None:
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "cmdline").write_text(command.replace(" ", "\0") + "\0")
    (folder / "cgroup").write_text(cgroup)


@pytest.mark.parametrize(
    ("name", "command", "cgroup", "mend"),
    [
        ("ModemManager", "/usr/sbin/ModemManager", "0::/system.slice/ModemManager.service", "60-tillwatch.rules"),
        ("brltty", "/sbin/brltty", "", "apt-get remove brltty"),
        ("gpsd", "/usr/sbin/gpsd", "", "gpsd.socket"),
        ("agetty", "/sbin/agetty ttyUSB0", "", "serial-getty@ttyUSB0"),
        ("python3", "python3 -m agent.bridge 3", "0::/system.slice/tillwatch-bridge.service", "one bridge"),
        ("tillwatch", "/usr/bin/python3 /usr/bin/tillwatch run", "", "one bridge"),
        ("weird", "weird", "0::/system.slice/weird.service", "systemctl stop weird.service"),
        ("minicom", "minicom", "0::/user.slice/user@1000.service/app.slice/x.scope", "systemctl status PID"),
    ],
)
def test_each_has_its_mend(tmp_path: Path, name: str, command: str, cgroup: str, mend: str) -> None:
    process(tmp_path, 77, command, cgroup)
    check = held("device", "pos1", Path("/dev/ttyUSB0"), Holder(77, name), tmp_path)
    assert check.state is State.FAIL
    assert "/dev/ttyUSB0 is held by" in said(check)
    assert "77" in said(check)
    assert mend in said(check)


def test_a_process_that_has_ended_is_still_named(tmp_path: Path) -> None:
    check = held("device", "pos1", "/dev/ttyUSB0", Holder(78, "gone"), tmp_path)
    assert "pid 78 (gone)" in said(check)
    assert unit_of(tmp_path / "78") is None
