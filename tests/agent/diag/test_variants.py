"""Other faults than the ten of test_faults.py: named as what they are, or it is said that it is not known."""

from __future__ import annotations

import contextlib
import itertools
import os
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from agent.diag import scene as scenes
from agent.tap import bridge_status
from drivers.simulated.shell import PtyPort
from tests.agent.diag.bench import configuration, diagnosed, findings
from tests.agent.diag.copper import Line, flips, terminal
from tests.agent.diag.test_faults import running
from tests.waits import until
from tests.whole.stand import Stand

Capture = pytest.CaptureFixture[str]


class HalfDuplex(Line):
    """A two-wire converter with echo: what our side sends comes back to it, and then the terminal's answer."""

    def read(self) -> bytes:
        if data := super().read():
            super().write(data)
        return data


@pytest.mark.parametrize("protocol", ["concert", "zvt"])
def test_a_converter_with_echo(protocol: str, tmp_path: Path, capsys: Capture) -> None:
    path = configuration(tmp_path, f"serial:{tmp_path}/line", protocol)
    with terminal(protocol, HalfDuplex(tmp_path / "line")):
        code, told = diagnosed(path, capsys, "--only", "echo", "--only", "answer", "--loopback", "--only", "loopback")
    assert (code, told["verdict"], findings(told)) == (1, "cable", {"echo_answered"})
    assert "loopback_refused" in findings(told, "skip"), "no pattern is sent to a terminal"


def test_answers_that_the_terminal_had_to_say_again(tmp_path: Path, capsys: Capture) -> None:
    """ZVT repeats what was refused, so every question is answered in the end; the cable is bad all the same."""
    path = configuration(tmp_path, f"serial:{tmp_path}/line", "zvt")
    with terminal("zvt", Line(tmp_path / "line", out=flips(23))):
        code, told = diagnosed(path, capsys, "--only", "answer", "--only", "noise")
    assert (code, told["verdict"], findings(told)) == (1, "cable", {"answers_sometimes", "bit_errors_asked"})


@pytest.mark.parametrize("make", [os.mkdir, lambda path: Path(path).write_text("no device")])
def test_a_folder_or_a_file_in_the_place_of_a_device(make: Any, tmp_path: Path, capsys: Capture) -> None:
    make(tmp_path / "line")
    code, told = diagnosed(configuration(tmp_path, f"serial:{tmp_path}/line"), capsys)
    assert (code, told["verdict"], findings(told)) == (1, "configuration", {"device_no_device"})


@contextmanager
def listening(accept: bool) -> Iterator[int]:
    """A TCP port where somebody listens and says nothing; `accept`: who connects is turned away at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def turn_away() -> None:
            with contextlib.suppress(OSError):
                while True:
                    server.accept()[0].close()

        thread = threading.Thread(target=turn_away)
        if accept:
            thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
    if accept:
        thread.join(10)


@pytest.mark.parametrize(("accept", "finding"), [(False, "silent_no_serial"), (True, "gone_network")])
def test_a_terminal_in_the_network(accept: bool, finding: str, tmp_path: Path, capsys: Capture) -> None:
    with listening(accept) as port:
        code, told = diagnosed(configuration(tmp_path, f"tcp:127.0.0.1:{port}", "zvt"), capsys, "--only", "answer")
    assert (code, told["verdict"], findings(told)) == (1, "terminal", {finding})
    assert "loopback" not in told["reasons"][0]["mend"]


def test_two_faults_at_once(tmp_path: Path, capsys: Capture) -> None:
    mqtt = '[mqtt]\nurl = "mqtt://127.0.0.1:1"\n'
    path = configuration(tmp_path, f"serial:{tmp_path}/line", mqtt=mqtt)
    with terminal("concert", Line(tmp_path / "line", speed=19200)):
        code, told = diagnosed(path, capsys)
    assert (code, told["verdict"], findings(told)) == (1, "configuration", {"wrong_speed", "broker_refused"})
    assert [each["verdict"] for each in told["also"]] == ["network"]


@pytest.mark.parametrize("protocol", ["cup8583", "receipt"])
def test_a_line_that_can_only_be_heard_and_is_dead_is_not_called_good(
    protocol: str, tmp_path: Path, capsys: Capture
) -> None:
    port = PtyPort(tmp_path / "line")  # on which nobody says anything
    with selectors.DefaultSelector() as selector:
        port.open(selector)
        code, told = diagnosed(configuration(tmp_path, f"serial:{tmp_path}/line", protocol), capsys)
        port.close(selector)
    assert (code, told["verdict"], findings(told)) == (0, "unknown", set())
    assert [reason["finding"] for reason in told["reasons"]] == ["unaskable"]


def test_with_no_protocol_named_only_what_was_tried_is_claimed(tmp_path: Path, capsys: Capture) -> None:
    path = configuration(tmp_path, f"serial:{tmp_path}/line", "auto")
    with terminal("zvt", Line(tmp_path / "line", out=lambda _: b"")):
        code, told = diagnosed(path, capsys, "--only", "answer")
    assert (code, findings(told)) == (1, {"silent_auto"})


def test_errors_that_a_port_counts_while_our_bridge_has_it(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pty counts none: the bridge's own words are real, its counters are made up, and grow while it is asked."""
    turn = itertools.count(1)

    def counting(run_dir: Path) -> dict[str, Any]:
        status, number = bridge_status(run_dir), next(turn)
        counted = {"rx": 100 * number, "tx": 0, "frame": 20 * number, "overrun": 0, "parity": 0, "brk": 0}
        status["lines"]["pos1"]["counters"] = counted
        return status

    monkeypatch.setattr(scenes, "bridge_status", counting)
    stand = Stand(tmp_path, None)
    stand.terminal("pos1", "concert", f"serial:{tmp_path}/line")
    with terminal("concert", Line(tmp_path / "line")), running(stand):
        until(lambda: '"link.up"' in stand.log, what="line up")
        code, told = diagnosed(stand.config, capsys, "--only", "errors")
    assert (code, told["verdict"], findings(told)) == (1, "cable", {"errors_some"})


def test_a_password_that_only_the_agents_user_may_read_is_no_fault(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a technician without rights: what needs no password is tried all the same."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        account = f'username = "cashier-07"\npassword_file = "{tmp_path}/secret/password"\n'
        mqtt = f'[mqtt]\nurl = "mqtt://127.0.0.1:{server.getsockname()[1]}"\n{account}'
        path = configuration(tmp_path, "tcp:127.0.0.1:1", "zvt", mqtt=mqtt)
        assert main(["diag", "--config", str(path), "--only", "network"]) == 2, "root is told that it is not there"
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        code, told = diagnosed(path, capsys, "--only", "network")
    assert (code, findings(told), findings(told, "skip")) == (0, set(), {"login_closed"})


def test_a_configuration_that_the_running_bridge_does_not_have_yet(tmp_path: Path, capsys: Capture) -> None:
    """Somebody has corrected the speed and not restarted: what is found on the line is still the old one's."""
    stand = Stand(tmp_path, None)
    stand.terminal("pos1", "concert", f"serial:{tmp_path}/line")
    with terminal("concert", Line(tmp_path / "line")), running(stand):
        code, told = diagnosed(stand.config, capsys, "--only", "settings")
        assert (code, findings(told, "ok")) == (0, {"settings_bridge"})
        stand.config.write_text(stand.config.read_text() + "baudrate = 19200\n")
        code, told = diagnosed(stand.config, capsys, "--only", "settings")
    assert (code, told["verdict"], findings(told)) == (1, "configuration", {"bridge_outdated"})
