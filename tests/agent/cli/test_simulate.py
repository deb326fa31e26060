"""`tillwatch simulate` as a program: its first line, its log, its ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from telium import Telium, TeliumAsk, TeliumResponse

from agent.cli import main
from drivers.framing_lrc import frame

CARD = "4975541234514970"
REQUEST = frame(b"0700001234110978          A010B010")


@contextmanager
def simulator(*args: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "agent", "simulate", "concert", "--think", "0.05", *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def pay(path: str) -> TeliumResponse | None:
    peer = Telium(path)
    try:
        ask = TeliumAsk.new_payment(12.34, target_currency="EUR", checkout_unique_id="07")
        assert peer.ask(ask)
        return peer.verify(ask, waiting_timeout=5)
    finally:
        peer.close()


def receive(peer: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        got = peer.recv(count - len(data))
        assert got, "the connection ended"
        data += got
    return data


def pay_over(peer: socket.socket) -> bytes:
    """One payment, acknowledged to its end; returns the answer's frame."""
    for sent in (b"\x05", REQUEST):
        peer.sendall(sent)
        assert receive(peer, 1) == b"\x06"
    peer.sendall(b"\x04")
    assert receive(peer, 1) == b"\x05"
    peer.sendall(b"\x06")
    answer = receive(peer, 83)
    peer.sendall(b"\x06")
    assert receive(peer, 1) == b"\x04"
    return answer


def test_a_payment_over_a_named_pty(tmp_path: Path) -> None:
    link = tmp_path / "pos"
    log = tmp_path / "log.jsonl"
    with simulator("--pty", str(link), "--json", "--count", "1", "--log", str(log)) as process:
        assert json.loads(line(process)) == {"event": "ready", "device": f"pty:{link}"}
        answer = pay(str(link))
        assert answer is not None
        assert answer.has_succeeded
        rest, errors = process.communicate(timeout=10)
    assert process.returncode == 0
    assert errors == ""
    events = [json.loads(entry) for entry in rest.splitlines()]
    assert [event["event"] for event in events] == ["requested", "charged", "answered", "delivered"]
    assert events[1]["amount"] == 1234
    assert log.read_text().splitlines()[1:] == rest.splitlines()
    assert CARD not in rest
    assert not link.is_symlink()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    link = tmp_path / "pos"
    with simulator("--pty", str(link)) as process:
        assert line(process) == str(link)
        assert os.path.realpath(link).startswith("/dev/pts/")
        process.send_signal(number)
        assert process.wait(timeout=10) == 0
    assert not link.is_symlink()


def test_without_a_place_it_makes_a_pty_and_names_it() -> None:
    with simulator("--scenario", "decline") as process:
        path = line(process)
        assert path.startswith("/dev/pts/")
        answer = pay(path)
        assert answer is not None
        assert answer.transaction_result == 7
        assert [line(process).split()[1] for _ in range(4)] == ["requested", "declined", "answered", "delivered"]


def test_a_payment_over_tcp_a_reboot_and_another_at_the_same_port() -> None:
    with simulator("--tcp", "127.0.0.1:0", "--scenario", "reboot,approve", "--reboot", "0.1", "--json") as process:
        device = json.loads(line(process))["device"]
        address = ("127.0.0.1", int(device.rpartition(":")[2]))
        with socket.create_connection(address, timeout=10) as peer:
            for sent in (b"\x05", REQUEST):
                peer.sendall(sent)
                assert receive(peer, 1) == b"\x06"
            peer.sendall(b"\x04")
            assert peer.recv(1) == b""
        while json.loads(event := line(process))["event"] != "ready":
            assert event
        assert json.loads(event)["device"] == device
        with socket.create_connection(address, timeout=10) as peer:
            assert CARD.encode() in pay_over(peer)


def test_a_new_tcp_connection_takes_the_old_one_s_place() -> None:
    with simulator("--tcp", "127.0.0.1:0") as process:
        address = ("127.0.0.1", int(line(process).rpartition(":")[2]))
        with socket.create_connection(address, timeout=10) as old, socket.create_connection(address, timeout=10) as new:
            pay_over(new)
            assert old.recv(1) == b""


def test_a_payment_over_a_serial_port() -> None:
    """A pty stands for the serial port: whoever has its master is at the other end of the cable."""
    master, slave = os.openpty()
    tty.setraw(slave)
    path = os.ttyname(slave)
    try:
        with simulator("--serial", path) as process:
            assert line(process) == path
            os.write(master, b"\x05")
            assert os.read(master, 1) == b"\x06"
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) == 0
    finally:
        os.close(slave)
        os.close(master)


def test_the_list_of_protocols(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--list", "--json"]) == 0
    listed = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert listed["concert"] == {
        "name": "concert",
        "title": "Caisse Concert (Ingenico Telium, Verifone, Sagem)",
        "maturity": "experimental",
        "framings": ["serial"],
        "simulated": True,
    }
    assert not listed["sniffer"]["simulated"]
    assert main(["simulate", "--list"]) == 0
    assert "concert" in capsys.readouterr().out


def test_what_only_listens_is_not_simulated(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "sniffer"]) == 2
    assert "sniffer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        ([], 2, "--list"),
        (["concertt"], 2, "concert"),
        (["concert", "--scenario", "aprove"], 2, "nearest is approve"),
        (["concert", "--card", "12"], 2, "13 to 19"),
        (["concert", "--currency", "Euro"], 2, "Euro"),
        (["concert", "--tcp", "nowhere"], 2, "HOST:PORT"),
        (["concert", "--framing", "none"], 2, "concert"),
        (["concert", "--serial", "/dev/nosuch"], 3, "/dev/nosuch"),
        (["concert", "--log", "/nosuch/log"], 3, "/nosuch/log"),
    ],
)
def test_refusals(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, args: list[str], code: int, told: str
) -> None:
    monkeypatch.setenv("TILLWATCH_AGENT__LANGUAGE", "en")
    assert main(["simulate", *args]) == code
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_file_in_the_way_of_the_link_is_not_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pos"
    path.write_text("precious")
    assert main(["simulate", "concert", "--pty", str(path)]) == 3
    assert path.read_text() == "precious"
    assert str(path) in capsys.readouterr().err
