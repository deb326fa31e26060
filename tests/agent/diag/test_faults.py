"""Ten planted faults; each is named as what it is. The lines are ptys, programs and the broker are real."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.checks import Who
from agent.demo.cashier import Manner, NoAnswer, pay_concert
from agent.diag.kept import Kept
from agent.diag.past import past_of
from agent.diag.scene import Scene
from agent.diag.verdict import Culprit
from agent.diag.walk import walk
from drivers.driver import Scenario
from tests.agent.diag.bench import configuration, diagnosed, findings, loaded
from tests.agent.diag.copper import Line, dead, flips, parity_checked, terminal, with_parity
from tests.broker import Broker, Tls
from tests.certificates import Authority
from tests.waits import until
from tests.whole.stand import Stand

Capture = pytest.CaptureFixture[str]


@contextmanager
def running(stand: Stand) -> Iterator[Stand]:
    """The agent with its bridge, its line up; all of it ends with the block."""
    try:
        stand.start_agent()
        until(lambda: '"link.up"' in stand.log, what="line up")
        yield stand
    finally:
        stand.close()


def pay(stand: Stand, manner: Manner = Manner.PROPER, patience_s: float = 6) -> None:
    with contextlib.suppress(NoAnswer):
        pay_concert(stand.port(), 1234, manner, patience_s)


def test_nothing_is_wrong(tmp_path: Path, capsys: Capture) -> None:
    with terminal("concert", Line(tmp_path / "line")):
        code, told = diagnosed(configuration(tmp_path, f"serial:{tmp_path}/line"), capsys)
    assert (code, told["verdict"], findings(told)) == (0, "nothing", set())


@pytest.mark.parametrize("protocol", ["concert", "zvt"])
def test_wrong_baud(protocol: str, tmp_path: Path, capsys: Capture) -> None:
    path = configuration(tmp_path, f"serial:{tmp_path}/line", protocol)
    with terminal(protocol, Line(tmp_path / "line", speed=19200)):
        code, told = diagnosed(path, capsys, "--only", "answer", "--only", "settings")
    assert (code, told["verdict"], findings(told)) == (1, "configuration", {"wrong_speed"})
    assert told["reasons"][0]["text"].startswith("the terminal answers with 19200 8N")
    assert "9600 8N" in told["reasons"][0]["text"]


def test_swapped_parity(tmp_path: Path, capsys: Capture) -> None:
    """A terminal of 7O1 takes no word of a line of 8N1; it answers to one that bears its parity."""
    line = Line(
        tmp_path / "line", lambda data: with_parity(data, odd=True), lambda data: parity_checked(data, odd=True)
    )
    path = configuration(tmp_path, f"serial:{tmp_path}/line")
    with terminal("concert", line):
        code, told = diagnosed(path, capsys)
    assert (code, told["verdict"], findings(told)) == (1, "configuration", {"wrong_parity"})
    assert "(7O1, " in told["reasons"][0]["text"]


def test_swapped_parity_that_only_payments_show(tmp_path: Path, capsys: Capture) -> None:
    """Even parity leaves ENQ and ACK as they are. This terminal does not mind ours; its answers are not understood."""
    stand = Stand(tmp_path, None)
    stand.terminal("pos1", "concert", f"serial:{tmp_path}/line")
    line = Line(
        tmp_path / "line", lambda data: with_parity(data, odd=False), lambda data: bytes(b & 0x7F for b in data)
    )
    with terminal("concert", line), running(stand):
        pay(stand)
        code, told = diagnosed(stand.config, capsys, "--only", "noise")
    assert (code, told["verdict"], findings(told)) == (1, "configuration", {"wrong_parity"})
    assert "(7E1, " in told["reasons"][0]["text"]


def test_no_permission(tmp_path: Path) -> None:
    config = loaded(configuration(tmp_path, f"serial:{tmp_path}/line"))
    nobody = Who("nobody", 65534, frozenset({65534}))
    with terminal("concert", Line(tmp_path / "line")):
        os.chmod(tmp_path / "line", 0o600)
        os.chown(tmp_path / "line", os.getuid(), os.getgid())
        scene = Scene(config, config.terminals[0], who=nobody)
        only = ["device", "permission", "holder", "settings"]
        result = walk(scene, Kept(tmp_path / "kept"), only, lambda _: None)
    assert [step.finding for step in result.verdict.reasons] == ["device_closed"]
    assert result.verdict.culprit is Culprit.CONFIGURATION
    assert result.verdict.reasons[0].what.values["user"] == "nobody"


HOLD = "import fcntl, os, sys, termios; fd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)"
HOLD += "; fcntl.ioctl(fd, termios.TIOCEXCL); print('held', flush=True); sys.stdin.read()"


def test_port_held(tmp_path: Path, capsys: Capture) -> None:
    path = configuration(tmp_path, f"serial:{tmp_path}/line")
    with (
        terminal("concert", Line(tmp_path / "line")),
        subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path / "line")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other,
    ):
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        code, told = diagnosed(path, capsys)
        other.communicate(b"")
    assert (code, told["verdict"]) == (1, "configuration")
    assert told["reasons"][0]["finding"] == "device_held"
    assert f"pid {other.pid} " in told["reasons"][0]["text"]


def test_a_half_dead_cable(tmp_path: Path, capsys: Capture) -> None:
    path = configuration(tmp_path, f"serial:{tmp_path}/line")
    with terminal("concert", Line(tmp_path / "line", out=flips(7), into=flips(11))):
        code, told = diagnosed(path, capsys, "--only", "noise", "--only", "answer", "--only", "echo")
    assert (code, told["verdict"]) == (1, "cable")
    assert {"bit_errors_asked", "answers_sometimes"} == findings(told)


def test_a_half_dead_cable_under_payments(tmp_path: Path, capsys: Capture) -> None:
    stand = Stand(tmp_path, None)
    stand.terminal("pos1", "concert", f"serial:{tmp_path}/line")
    with terminal("concert", Line(tmp_path / "line", out=flips(131))), running(stand):
        for _ in range(8):
            pay(stand)
        code, told = diagnosed(stand.config, capsys, "--only", "noise", "--only", "stability")
    assert (code, told["verdict"], findings(told)) == (1, "cable", {"bit_errors"})


@pytest.mark.parametrize("with_agent", [False, True])
def test_terminal_silent(with_agent: bool, tmp_path: Path, capsys: Capture) -> None:
    stand = Stand(tmp_path, None)
    stand.terminal("pos1", "concert", f"serial:{tmp_path}/line")
    with terminal("concert", Line(tmp_path / "line", out=dead)), contextlib.ExitStack() as stack:
        if with_agent:
            stack.enter_context(running(stand))
        code, told = diagnosed(stand.config, capsys)
    assert (code, told["verdict"]) == (1, "terminal")
    assert findings(told) == {"silent_bridge" if with_agent else "silent"}


def test_terminal_rebooting(tmp_path: Path, capsys: Capture) -> None:
    stand = Stand(tmp_path, None)
    stand.terminal("pos1", "concert", f"serial:{tmp_path}/line")
    with terminal("concert", Line(tmp_path / "line"), Scenario.REBOOT, reboot_s=2.2), running(stand):
        for number in (2, 3):
            with contextlib.suppress(OSError):
                pay(stand, patience_s=1)
            until(lambda number=number: stand.log.count('"link.up"') >= number, what="the terminal is back")
        code, told = diagnosed(stand.config, capsys)
    assert (code, told["verdict"], findings(told)) == (1, "terminal", {"restarts"})


def test_cashier_not_acknowledging(tmp_path: Path, capsys: Capture) -> None:
    stand = Stand(tmp_path, None)
    stand.terminal("pos1", "concert", f"serial:{tmp_path}/line")
    with terminal("concert", Line(tmp_path / "line")), running(stand):
        # A terminal that still tries to tell the last answer takes no new request: then the application comes again.
        until(lambda: pay(stand, Manner.NO_ACK) or _undelivered(stand, 2), 60, "answers that were not taken")
        code, told = diagnosed(stand.config, capsys)
    assert (code, told["verdict"], findings(told)) == (1, "cashier", {"cashier_silent"})


def _undelivered(stand: Stand, count: int) -> bool:
    past = past_of(stand.folder / "state", "pos1", time.time_ns())
    return past is not None and sum(payment.delivered == "no" for payment in past.payments) >= count


def test_broker_refusing(tmp_path: Path, capsys: Capture) -> None:
    with Broker(tmp_path / "broker", users={"cashier-07": "right"}) as broker:
        (tmp_path / "password").write_text("wrong\n")
        (tmp_path / "password").chmod(0o600)
        account = f'username = "cashier-07"\npassword_file = "{tmp_path}/password"\n'
        path = configuration(tmp_path, "tcp:127.0.0.1:1", "zvt", mqtt=f'[mqtt]\nurl = "{broker.url}"\n{account}')
        code, told = diagnosed(path, capsys, "--only", "network")
    assert (code, told["verdict"]) == (1, "network")
    assert findings(told) <= {"login_password", "login_rights"}
    assert len(findings(told)) == 1


def test_broker_refusing_a_topic(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "acl").write_text("topic read #\n")
    with Broker(tmp_path / "broker", options=f"acl_file {tmp_path}/acl") as broker:
        path = configuration(tmp_path, "tcp:127.0.0.1:1", "zvt", mqtt=f'[mqtt]\nurl = "{broker.url}"\n')
        code, told = diagnosed(path, capsys, "--only", "network")
    assert (code, told["verdict"], findings(told)) == (1, "network", {"rights_denied"})


def test_an_expired_certificate(tmp_path: Path, capsys: Capture) -> None:
    authority = Authority(tmp_path / "ca")
    certificate, key = authority.sign("127.0.0.1", datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC))
    with Broker(tmp_path / "broker", tls=Tls(certificate, key)) as broker:
        mqtt = f'[mqtt]\nurl = "{broker.url}"\nca_file = "{authority.certificate}"\n'
        path = configuration(tmp_path, "tcp:127.0.0.1:1", "zvt", mqtt=mqtt)
        code, told = diagnosed(path, capsys, "--only", "network")
    assert (code, told["verdict"], findings(told)) == (1, "network", {"certificate_expired"})
    assert "2021-01-01" in told["reasons"][0]["text"]
