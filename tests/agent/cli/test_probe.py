"""`tillwatch devices --probe`: simulated terminals on ptys say who they are, and nobody is asked who should not be."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
import tomllib
import tty
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from agent import probe as probing
from agent.cli import main
from agent.cli.devices import as_data, as_text, block
from agent.config import load
from agent.probe import Found, Probed, probed
from agent.texts import Texts
from drivers import registry
from drivers.driver import Driver, Framing, LineDefaults, Simulation
from drivers.links.discover import Device
from drivers.links.holders import Holder
from drivers.simulated.shell import PtyPort, Shell, TcpPort
from tests.broker import free_port

DRIVERS = [registry.get(name) for name in ("concert", "zvt")]
Simulate = Callable[[str], str]


@pytest.fixture
def simulate(tmp_path: Path) -> Iterator[Simulate]:
    """A simulated terminal on a pty; returns its path."""
    running: list[tuple[Shell, threading.Thread]] = []

    def start(protocol: str) -> str:
        link = tmp_path / f"{protocol}-terminal"
        ready = threading.Event()
        driver = registry.get(protocol)
        assert driver.simulated is not None
        shell = Shell(driver.simulated(Simulation()), PtyPort(link), lambda _: ready.set())
        thread = threading.Thread(target=shell.run)
        thread.start()
        running.append((shell, thread))
        assert ready.wait(20)
        return str(link)

    yield start
    for shell, thread in running:
        shell.stop()
        thread.join()


@pytest.fixture
def far(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """A port with nobody behind it but the test: (our end, its path)."""
    ours, theirs = pty.openpty()
    tty.setraw(ours)
    path = os.ttyname(theirs)
    os.close(theirs)
    yield ours, path
    os.close(ours)


@pytest.mark.parametrize("order", [DRIVERS, DRIVERS[::-1]], ids=["concert-first", "zvt-first"])
@pytest.mark.parametrize("protocol", ["concert", "zvt"])
def test_a_terminal_says_who_it_is_whoever_is_asked_for_first(
    simulate: Simulate, protocol: str, order: list[Driver]
) -> None:
    path = simulate(protocol)
    for _ in range(2 if order[0].name == protocol else 1):  # and it is as before afterwards
        result = probed(f"serial:{path}", order)
        assert (result.found, result.protocol, result.line) == (Found.ANSWERED, protocol, registry.get(protocol).line)


def test_a_terminal_on_tcp_too() -> None:
    port = free_port()
    ready = threading.Event()
    driver = registry.get("zvt")
    assert driver.simulated is not None
    terminal = driver.simulated(Simulation(framing=Framing.NONE))
    shell = Shell(terminal, TcpPort("127.0.0.1", port), lambda _: ready.set())
    thread = threading.Thread(target=shell.run)
    thread.start()
    assert ready.wait(20)
    try:
        assert probed(f"tcp:127.0.0.1:{port}", DRIVERS[::-1]).protocol == "zvt"
    finally:
        shell.stop()
        thread.join()


def answering(ours: int, answer: Callable[[bytes], bytes]) -> threading.Thread:
    """Answer what is asked until the port is closed for good."""

    def run() -> None:
        with suppress(OSError):
            while True:
                try:
                    data = os.read(ours, 4096)
                except OSError:  # nobody has it open at the moment
                    if stop.wait(0.005):
                        return
                    continue
                os.write(ours, answer(data))

    stop = threading.Event()
    thread = threading.Thread(target=run, daemon=True)
    thread.stop = stop  # type: ignore[attr-defined]
    thread.start()
    return thread


def quick(monkeypatch: pytest.MonkeyPatch) -> list[Driver]:
    """The drivers, less patient."""
    monkeypatch.setattr(probing, "LISTEN_S", 0.05)
    monkeypatch.setattr(probing, "SETTLE_S", 0.1)
    monkeypatch.setattr(probing, "LONGEST_S", 0.5)
    return [replace(d, probe=replace(d.probe, patience_s=0.1)) for d in DRIVERS if d.probe]


def test_a_silent_terminal(far: tuple[int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    result = probed(f"serial:{far[1]}", quick(monkeypatch))
    assert (result.found, result.protocol) == (Found.SILENT, None)


@pytest.mark.parametrize(
    "answer",
    [
        lambda data: data,  # a loop
        lambda data: b"\x06" * 3,  # an ACK for everything, too many
        lambda data: b"ERROR\r\n",
        lambda data: b"\x15",
        lambda data: bytes(range(256)) * 40,
    ],
    ids=["echo", "acks", "modem", "nak", "babble"],
)
def test_one_that_speaks_something_else(
    far: tuple[int, str], monkeypatch: pytest.MonkeyPatch, answer: Callable[[bytes], bytes]
) -> None:
    thread = answering(far[0], answer)
    result = probed(f"serial:{far[1]}", quick(monkeypatch))
    thread.stop.set()  # type: ignore[attr-defined]
    thread.join(5)
    assert result.protocol is None
    assert result.found in (Found.OTHER, Found.TALKING)  # talking: on a slow machine an answer comes to the next try


def test_one_that_talks_unasked_is_left_alone(far: tuple[int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    drivers = quick(monkeypatch)
    monkeypatch.setattr(probing, "LISTEN_S", 20.0)  # it ends with the first byte
    stop = threading.Event()
    keep = os.open(far[1], os.O_RDWR | os.O_NOCTTY)
    os.set_blocking(far[0], False)

    def talk() -> None:
        while not stop.wait(0.01):
            with suppress(BlockingIOError):
                os.write(far[0], b"$GPGGA,092725.00*5B\r\n")

    thread = threading.Thread(target=talk)
    thread.start()
    result = probed(f"serial:{far[1]}", drivers)
    stop.set()
    thread.join()
    assert result.found is Found.TALKING
    with pytest.raises(BlockingIOError):
        os.read(far[0], 100)
    os.close(keep)


def test_a_port_that_cant_be_opened_says_why() -> None:
    result = probed("serial:/dev/nowhere", DRIVERS)
    assert result.found is Found.FAILED
    assert result.detail
    assert "/dev/nowhere" in result.detail


# --- the verb ---


def test_the_verb_prints_what_answered_and_what_to_paste(
    simulate: Simulate, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = simulate("zvt")
    assert main(["devices", "--probe", path, "--json", "--config", str(tmp_path / "none.toml")]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["probe"] == {"found": "answered", "protocol": "zvt", "line": "9600 8N2", "detail": None, "holders": []}
    (terminal,) = tomllib.loads(row["configuration"])["terminal"]
    assert (terminal["protocol"], terminal["device"]) == ("zvt", f"serial:{path}")


def test_a_held_port_is_not_asked_and_the_verb_says_3(
    far: tuple[int, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code = (
        "import fcntl, os, sys, termios; fd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY);"
        "fcntl.ioctl(fd, termios.TIOCEXCL); print(flush=True); sys.stdin.read()"
    )
    arguments = [sys.executable, "-c", code, far[1]]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert main(["devices", "--probe", far[1], "--config", str(tmp_path / "none.toml")]) == 3
        other.communicate()
    said = capsys.readouterr()
    assert "not asked: held by" in said.out
    assert str(other.pid) in said.out
    assert "Traceback" not in said.err


def test_a_terminal_of_the_running_bridge_is_not_asked(
    far: tuple[int, str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(
        f'[agent]\nrun_dir = "{tmp_path}"\n[[terminal]]\nname = "pos1"\nprotocol = "auto"\ndevice = "serial:{far[1]}"\n'
    )
    assert load(config, {}).terminals[0].protocol == "auto"
    monkeypatch.setattr("agent.cli.probe.bridge_pid", lambda _: 77)
    assert main(["devices", "--probe", far[1], "--config", str(config)]) == 3
    assert "tillwatch, which runs" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["ttyUSB0", "usb:1", "pty:/x", ""])
def test_what_is_no_port_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "--probe", name]) == 2
    assert "is no port" in capsys.readouterr().err


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_every_result_is_said(language: str) -> None:
    device = Device(kind="serial", path="/dev/ttyUSB0", stable=None, description="FT232R", mode="crw-rw----")
    for found in Found:
        result = Probed(address=device.address, found=found, protocol="concert", line=LineDefaults(), detail="why")
        (line,) = [
            line
            for line in as_text([device], ("concert",), Texts(language), {device.address: result})
            if line.startswith("# ") and "ttyUSB0" not in line and "60-" not in line
        ]
        assert "{" not in line
        assert "devices." not in line
        assert as_data([device], ("concert",), Texts(language), {device.address: result})[0]["probe"]


def test_settings_that_are_not_the_usual_ones_stand_in_the_block() -> None:
    device = Device(kind="serial", path="/dev/ttyUSB0", stable=None, description="FT232R", holders=(Holder(1, "x"),))
    line = LineDefaults(baudrate=115200)
    result = Probed(address=device.address, found=Found.ANSWERED, protocol="zvt", line=line)
    (terminal,) = tomllib.loads(block(device, 1, ("zvt",), Texts("en"), result))["terminal"]
    assert (terminal["baudrate"], terminal["stopbits"]) == (115200, 1)
