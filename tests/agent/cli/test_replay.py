"""`tillwatch replay` against the decoder and against live simulated terminals."""

from __future__ import annotations

import json
import os
import pty
import threading
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent import replay
from agent.cli import main
from agent.cli import replay as replay_cli
from drivers.concert import DRIVER
from drivers.driver import Log, Scenario, Simulation
from drivers.framing_lrc import frame
from drivers.links.base import NOT_FOUND, LinkError
from drivers.simulated.shell import Port, PtyPort, Shell, TcpPort

REQUEST = frame(b"0700001234110978          A010B010").hex(" ")
ANSWER = frame(b"070000012341" + b"497554******4970".ljust(55) + b"978140891    ").hex(" ")
LOG = f"""# tillwatch log 1
# Protocol: concert
# Framing: serial

+0.000000 > 05
+0.001000 < 06
+0.002000 > {REQUEST}
+0.003000 < 06
+0.004000 > 04
+0.300000 < 05
+0.301000 > 06
+0.350000 < {ANSWER}
+0.351000 > 06
+0.352000 < 04
"""


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLWATCH_AGENT__LANGUAGE", "en")


@pytest.fixture
def log(tmp_path: Path) -> str:
    path = tmp_path / "paid.tlog"
    path.write_text(LOG)
    return str(path)


@pytest.fixture
def terminal() -> Iterator[Callable[..., str]]:
    """Starts a simulated terminal at a port; returns its address without the scheme."""
    running: list[tuple[Shell, threading.Thread]] = []

    def start(port: Port, *scenarios: Scenario) -> str:
        ready = threading.Event()
        devices: list[str] = []

        def report(entry: Log) -> None:
            if entry.event == "ready":
                devices.append(str(dict(entry.facts)["device"]))
                ready.set()

        simulated = DRIVER.simulated(Simulation(scenarios=scenarios, think_s=0.05))
        shell = Shell(simulated, port, report)
        thread = threading.Thread(target=shell.run)
        thread.start()
        running.append((shell, thread))
        assert ready.wait(5)
        return devices[0].partition(":")[2]

    yield start
    for shell, thread in running:
        shell.stop()
        thread.join(5)


def test_at_the_decoder(capsys: pytest.CaptureFixture[str], log: str) -> None:
    assert main(["replay", log, "--to", "decoder", "--json"]) == 0
    kinds = [json.loads(line)["kind"] for line in capsys.readouterr().out.splitlines()]
    assert kinds == ["progress", "ack", "request", "ack", "progress", "progress", "ack", "answer", "ack", "progress"]


@pytest.mark.parametrize("speed", ["0", "1"])
def test_the_cashier_s_side_at_a_terminal_that_answers_the_same(
    capsys: pytest.CaptureFixture[str], log: str, terminal: Callable[..., str], tmp_path: Path, speed: str
) -> None:
    path = terminal(PtyPort(tmp_path / "pos"), Scenario.APPROVE)
    assert main(["replay", log, "--to", path, "--speed", speed]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "the same: 5 frames came back as recorded."
    assert "4975541234514970" not in out


def test_a_terminal_that_answers_otherwise(
    capsys: pytest.CaptureFixture[str], log: str, terminal: Callable[..., str]
) -> None:
    address = terminal(TcpPort("127.0.0.1", 0), Scenario.DECLINE)
    assert main(["replay", log, "--to", address, "--speed", "0", "--json"]) == 1
    *_, last = capsys.readouterr().out.splitlines()
    (difference,) = json.loads(last)["differences"]
    assert difference["recorded"]["fields"]["outcome"] == "approved"
    assert difference["came"]["fields"]["outcome"] == "declined"


def test_a_difference_for_people(capsys: pytest.CaptureFixture[str], log: str, terminal: Callable[..., str]) -> None:
    address = terminal(TcpPort("127.0.0.1", 0), Scenario.DECLINE)
    assert main(["replay", log, "--to", address, "--speed", "0"]) == 1
    differs, summary = capsys.readouterr().out.splitlines()[-2:]
    assert differs.startswith("0.350 s: recorded terminal < answer ok")
    assert '"refused"' in differs
    assert summary == "1 of 5 frames differ."


def test_a_terminal_that_goes_away_is_unreachable(
    capsys: pytest.CaptureFixture[str], log: str, terminal: Callable[..., str]
) -> None:
    address = terminal(TcpPort("127.0.0.1", 0), Scenario.REBOOT)
    assert main(["replay", log, "--to", address, "--speed", "0"]) == 3
    assert "went away" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "code", "told"),
    [
        ("decoderr", 2, "HOST:PORT"),
        ("/dev/nosuch", 3, "/dev/nosuch"),
        ("127.0.0.1:1", 3, "127.0.0.1:1"),
    ],
)
def test_targets_that_are_none(capsys: pytest.CaptureFixture[str], log: str, target: str, code: int, told: str) -> None:
    assert main(["replay", log, "--to", target]) == code
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_port_that_takes_nothing_any_more_ends_the_playing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "_DEAF_S", 0.3)
    path = tmp_path / "long.tlog"
    path.write_text("# tillwatch log 1\n# Protocol: concert\n\n+0.000000 > ~ 500000\n")
    master, slave = pty.openpty()
    tty.setraw(slave)
    try:
        assert main(["replay", str(path), "--to", os.ttyname(slave)]) == 3
    finally:
        os.close(master)
        os.close(slave)
    assert "has taken no byte" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ("19200 7E1", (19200, 7, "E", 1)),
        ("9600 8N2", (9600, 8, "N", 2)),
        ("follow 8N1", (9600, 8, "N", 1)),
        (None, (9600, 8, "N", 1)),
    ],
)
def test_a_serial_port_gets_the_settings_of_the_recording(
    log: str, settings: str | None, line: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    if settings:
        text = LOG.replace("# Framing", f"# Settings: {settings}\n# Framing")
        Path(log).write_text(text)
    opened: list[tuple[object, ...]] = []

    def refuse(*asked: object) -> None:
        opened.append(asked)
        raise LinkError(NOT_FOUND, "no port")

    monkeypatch.setattr(replay_cli, "open_serial", refuse)
    assert main(["replay", log, "--to", "/dev/ttyX"]) == 3
    assert opened == [("/dev/ttyX", *line)]
