"""Devices and cashier ports."""

from __future__ import annotations

import grp
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agent.checks import State, lines
from agent.errors import UnreachableError
from tests.agent.checks.checked import ME, NOBODY, said, terminal_of


def test_a_device_that_is_not_there_says_so(tmp_path: Path) -> None:
    terminal = terminal_of(tmp_path)
    check = lines.serial_port("device", terminal, Path("/dev/nowhere"), ME, None)
    assert check.terminal == "pos1"
    assert "/dev/nowhere is not there → plug the terminal in" in said(check)


def test_a_file_is_no_device(tmp_path: Path) -> None:
    (tmp_path / "tty").touch()
    check = lines.serial_port("device", terminal_of(tmp_path), tmp_path / "tty", ME, None)
    assert "is no device" in said(check)


def test_a_device_that_may_not_be_opened_names_group_and_rule(tmp_path: Path, device: Path) -> None:
    device.chmod(0o600)
    check = lines.serial_port("device", terminal_of(tmp_path), device, NOBODY, None)
    assert check.state is State.FAIL
    assert "nobody may not open" in said(check)
    assert "60-tillwatch.rules" in said(check)
    assert "(group " in said(check)


def test_a_device_behind_a_closed_way_is_told(tmp_path: Path, device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link in /tmp that belongs to another user: the kernel follows it for nobody, not even for root."""

    def refuse(*_: object, **__: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    terminal = terminal_of(tmp_path)
    monkeypatch.setattr(Path, "stat", refuse)
    check = lines.serial_port("device", terminal, device, ME, None)
    assert check.state is State.FAIL
    assert f"the way to {device} is closed → namei -l" in said(check)


def test_a_good_device_opens_with_its_settings(tmp_path: Path, device: Path) -> None:
    terminal = terminal_of(tmp_path, f"serial:{device}", 'baudrate = "follow"')
    check = lines.serial_port("device", terminal, device, ME, None)
    assert check.state is State.OK
    assert "9600 8N1" in said(check)


def test_a_device_held_by_another_program_names_it(tmp_path: Path, device: Path) -> None:
    code = (
        "import fcntl, os, sys, termios; fd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY);"
        "fcntl.ioctl(fd, termios.TIOCEXCL); print(flush=True); sys.stdin.read()"
    )
    arguments = [sys.executable, "-c", code, str(device)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        terminal = terminal_of(tmp_path, f"serial:{device}")
        alone = lines.serial_port("device", terminal, device, ME, None)
        beside = lines.serial_port("device", terminal, device, ME, os.getpid())
        ours = lines.serial_port("device", terminal, device, ME, other.pid)
        other.communicate()
    if os.geteuid() == 0:  # root may open what is marked exclusive, but the mark is seen
        assert f"pid {other.pid}" in said(alone)
    assert alone.state is State.FAIL
    assert beside.state is State.FAIL
    assert f"pid {other.pid}" in said(beside)
    assert (ours.state, ours.what.key) == (State.OK, "check.device_ours")
    assert f"process {other.pid}" in said(ours)


def test_a_bridge_without_its_device_is_told(tmp_path: Path, device: Path) -> None:
    check = lines.serial_port("device", terminal_of(tmp_path), device, ME, os.getpid())
    assert (check.state, check.what.key) == (State.WARN, "check.device_not_ours")
    assert "restart" in said(check)


def test_a_terminal_on_the_network(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp:127.0.0.1:{server.getsockname()[1]}"
        terminal = terminal_of(tmp_path, address)
        assert lines.remote("device", terminal, terminal.device).state is State.OK
    gone = lines.remote("device", terminal, terminal.device)
    assert f"{address} can't be reached (Connection refused)" in said(gone)


@pytest.mark.parametrize(
    ("line", "state", "text"),
    [
        ({"link": "up"}, State.OK, "belongs to our bridge (process 7)"),
        ({"link": "down", "detail": "Connection refused"}, State.FAIL, "can't be reached (Connection refused)"),
        (None, State.OK, "belongs to our bridge (process 7)"),
    ],
)
def test_a_terminal_on_the_network_that_the_bridge_dials_is_not_dialled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: dict[str, str] | None, state: State, text: str
) -> None:
    """A terminal with one connection is not asked while the bridge has it; the bridge is, where it may be asked."""

    def status(run_dir: Path) -> dict[str, object]:
        if line is None:
            raise UnreachableError("bridge.unreachable", path=run_dir)
        return {"lines": {"pos1": line}}

    monkeypatch.setattr(lines, "bridge_status", status)
    terminal = terminal_of(tmp_path, "tcp:192.0.2.1:20007")
    device = next(lines.checks(terminal, tmp_path, ME, 7))
    assert device.state is state
    assert text in said(device)


def test_the_link_of_the_virtual_port_can_be_made(tmp_path: Path) -> None:
    terminal = terminal_of(tmp_path, more=f'cashier = "pty:{tmp_path}/ports/pos1"')
    assert lines.virtual_port(terminal, tmp_path / "run", ME).state is State.OK
    assert lines.virtual_port(terminal_of(tmp_path), tmp_path / "run", NOBODY).state is State.OK  # run_dir is made


def test_a_link_of_an_earlier_run_is_no_obstacle_but_a_file_is(tmp_path: Path) -> None:
    terminal = terminal_of(tmp_path, more=f'cashier = "pty:{tmp_path}/pos1"')
    (tmp_path / "pos1").symlink_to("/dev/pts/4711")
    assert lines.virtual_port(terminal, tmp_path / "run", ME).state is State.OK
    (tmp_path / "pos1").unlink()
    (tmp_path / "pos1").touch()
    check = lines.virtual_port(terminal, tmp_path / "run", ME)
    assert check.state is State.FAIL
    assert "move it away" in said(check)


def test_a_folder_where_the_link_can_not_be_made_fails(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for place, key in ((tmp_path / "pos1", "check.link_closed"), (tmp_path / "a/pos1", "check.link_no_folder")):
        terminal = terminal_of(tmp_path, more=f'cashier = "pty:{place}"')
        check = lines.virtual_port(terminal, tmp_path / "run", NOBODY)
        assert (check.state, check.what.key) == (State.FAIL, key)
        assert said(check)


@pytest.mark.parametrize(
    ("more", "warned"),
    [
        ("bytesize = 7\nparity = 'E'", "7E1"),
        ("parity = 'O'", "8O1"),
        ("", None),
        ("parity = 'E'\ncashier = 'none'", None),
    ],
)
def test_a_virtual_port_carries_no_parity(tmp_path: Path, more: str, warned: str | None) -> None:
    checks = lines.checks(terminal_of(tmp_path, more=more), tmp_path / "run", ME, None)
    found = [check for check in checks if check.name == "parity"]
    if warned is None:
        assert found == []
    else:
        assert found[0].state is State.WARN
        assert warned in said(found[0])
        assert "8N1" in said(found[0])


def test_a_cashier_port_on_tcp_is_free_or_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        terminal = terminal_of(tmp_path, more=f'cashier = "tcp:127.0.0.1:{port}"')
        taken = lines.listening(terminal, None)
        assert taken.state is State.FAIL
        assert f"sport = :{port}" in said(taken)
        assert lines.listening(terminal, 7).what.key == "check.port_ours"
    assert lines.listening(terminal, None).state is State.OK


@pytest.mark.parametrize("host_name", ["192.0.2.1", "no-such-host.invalid"])
def test_a_cashier_port_at_another_host_fails(tmp_path: Path, host_name: str) -> None:
    terminal = terminal_of(tmp_path, more=f'cashier = "tcp:{host_name}:5000"')
    assert "address of this PC" in said(lines.listening(terminal, None))


def test_a_cashier_on_a_serial_port_is_checked_like_a_device(tmp_path: Path) -> None:
    found = list(lines.checks(terminal_of(tmp_path, more='cashier = "serial:/dev/none-either"'), tmp_path, ME, None))
    assert [(check.name, check.state) for check in found] == [("device", State.FAIL), ("cashier", State.FAIL)]
    assert "/dev/none-either" in said(found[1])


def test_a_watched_folder(tmp_path: Path) -> None:
    folder = tmp_path / "his"
    more = f'cashier = "file:{folder}/REQ*.TXT"'
    terminal = terminal_of(tmp_path, f"file:{folder}/RSP*.TXT", more)
    device, cashier = lines.checks(terminal, tmp_path, ME, None)
    assert device.state is cashier.state is State.FAIL
    assert "share mounted" in said(device)
    folder.mkdir(0o700)
    assert all(check.state is State.OK for check in lines.checks(terminal, tmp_path, ME, None))
    if os.geteuid() == 0:
        assert "may not read the folder" in said(next(lines.checks(terminal, tmp_path, NOBODY, None)))


def test_the_group_of_the_virtual_ports(tmp_path: Path) -> None:
    terminal = terminal_of(tmp_path)
    mine = next(group for group in grp.getgrall() if group.gr_gid in ME.groups)
    assert lines.group(terminal, mine.gr_name, ME).state is State.OK
    assert lines.group(terminal, mine.gr_name, NOBODY).state is State.FAIL
    assert "usermod -aG" in said(lines.group(terminal, mine.gr_name, NOBODY))
    assert "there is no group no-such-group" in said(lines.group(terminal, "no-such-group", ME))
