"""The PC, our own processes, and all checks together."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.checks import State, all_checks, host, lines
from tests.agent.checks.checked import ME, configured, said, with_password
from tests.broker import Broker

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "synchronised", "state", "text"),
    [
        (NOW, True, State.OK, "synchronised"),
        (NOW, False, State.WARN, "set-ntp true"),
        (NOW, None, State.WARN, "can't be found out"),
        (NOW.replace(year=1970), True, State.FAIL, "can't be right"),
        (NOW.replace(year=2106), None, State.FAIL, "battery"),
    ],
)
def test_the_clock(now: datetime, synchronised: bool | None, state: State, text: str) -> None:
    check = host.clock(now, synchronised)
    assert check.state is state
    assert text in said(check)


def test_the_kernel_is_asked_whether_the_clock_is_right() -> None:
    assert host.synchronised() in (True, False, None)


@pytest.mark.parametrize(
    ("names", "rule", "expected"),
    [
        (set(), False, [(State.OK, "none")]),
        ({"ModemManager"}, False, [(State.WARN, "60-tillwatch.rules")]),
        ({"ModemManager"}, True, [(State.OK, "leave terminals alone")]),
        ({"brltty"}, True, [(State.WARN, "braille")]),
        ({"ModemManager", "brltty"}, False, [(State.WARN, "ModemManager"), (State.WARN, "brltty")]),
    ],
)
def test_programs_that_disturb_serial_ports(names: set[str], rule: bool, expected: list[tuple[State, str]]) -> None:
    found = list(host.disturbers(names | {"systemd"}, rule))
    assert [check.state for check in found] == [state for state, _ in expected]
    for check, (_, text) in zip(found, expected, strict=True):
        assert text in said(check)


def test_processes_are_found_by_name() -> None:
    assert (Path("/proc/self/comm").read_text().strip()) in host.process_names()


def test_a_bridge_is_found_by_its_socket(tmp_path: Path) -> None:
    assert host.bridge_pid(tmp_path) is None
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "bridge.sock"))
        assert host.bridge_pid(tmp_path) is None  # a socket left behind
        server.listen()
        assert host.bridge_pid(tmp_path) == os.getpid()


def test_a_good_machine_has_no_failure(tmp_path: Path, device: Path, users: Broker) -> None:
    config = configured(tmp_path, f"serial:{device}", mqtt=with_password(tmp_path, users, "secret"))
    found = list(all_checks(config, ME))
    assert [said(check) for check in found if check.state is State.FAIL] == []
    assert {check.name for check in found} >= {
        "configuration", "state_dir", "disk", "journal", "run_dir", "device", "cashier", "broker", "login", "clock",
        "programs", "bridge", "agent",
    }  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can become another user")
def test_who_may_not_look_is_told_so_and_nothing_untrue(tmp_path: Path) -> None:
    """A technician without rights: neither does the check break, nor does it say that nothing runs."""
    config = configured(tmp_path, more=f'cashier = "pty:{tmp_path}/run/pos1"')
    tmp_path.chmod(0o700)
    os.seteuid(65534)
    try:
        found = [lines.virtual_port(config.terminals[0], config.agent.run_dir, ME), *host.checks(config, None)]
    finally:
        os.seteuid(0)
    told = {check.name: check for check in found}
    assert (told["cashier"].state, told["cashier"].what.key) == (State.FAIL, "check.folder_unreadable")
    for name in ("bridge", "agent"):
        assert (told[name].state, told[name].what.key) == (State.WARN, "check.process_unseen")
        assert "root" in said(told[name])


def test_root_asks_for_the_services_user() -> None:
    assert (ME.name == "tillwatch") or (ME.uid == os.geteuid())


def test_a_broker_of_the_tests_comes_back_on_its_port(tmp_path: Path) -> None:
    broker = Broker(tmp_path, persistence=True)
    assert broker.pid is None
    with broker:
        first, port = broker.pid, broker.port
        broker.kill()
        assert broker.pid is None
        broker.restart()
        assert broker.pid not in (None, first)
        assert broker.port == port
    assert broker.pid is None
