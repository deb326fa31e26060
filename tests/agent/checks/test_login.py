"""Who asks whether the broker lets us in: the agent that runs here, else the check itself."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from iotcore import Broker as OldBroker

from agent.checks import State
from agent.checks.login import Running, log_in, running
from agent.config import Mqtt
from agent.control import SOCKET_NAME
from tests.agent.checks.checked import configured, said, with_password
from tests.broker import Broker, free_port

NOW = 1_772_600_000.0


def settings(folder: Path, broker: Broker) -> Mqtt:
    found = configured(folder, mqtt=with_password(folder, broker, "secret")).mqtt
    assert found is not None
    return found


@contextmanager
def answering(run_dir: Path, answer: bytes | None) -> Iterator[None]:
    """Something listens as an agent does, and says this; None: nothing, as an agent that hangs."""
    run_dir.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(run_dir / SOCKET_NAME))
        listener.listen()

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(4096)
                if answer is None:
                    client.recv(4096)
                else:
                    client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            thread.join()


def contact(mqtt: Mqtt, **changes: Any) -> dict[str, Any]:
    known = {"url": mqtt.url, "username": mqtt.username, "cert_file": None, "since": time.time() + 60, "version": 5}
    return known | changes


def test_a_connected_agent_is_asked_and_nobody_logs_in(tmp_path: Path, users: Broker) -> None:
    mqtt = settings(tmp_path, users)
    before = users.log.read_text().count("New connection")
    told = {"broker": "connected", "mqtt": contact(mqtt)}
    with answering(tmp_path / "run", json.dumps(told).encode() + b"\n"):
        here = running(tmp_path / "run")
    check = log_in(mqtt, "cashier-07", here)
    assert (check.state, check.what.key) == (State.OK, "check.login_running")
    assert "as cashier-07 since" in said(check)
    assert users.log.read_text().count("New connection") == before


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"url": "mqtt://elsewhere"}, "check.login_other"),
        ({"username": "somebody"}, "check.login_other"),
        ({"cert_file": "/x"}, "check.login_other"),
        ({"since": NOW}, "check.login_other"),  # the password has changed since
        ({"since": None}, "check.login_other"),
        ({"version": 3}, "check.login_old"),
    ],
)
def test_what_it_is_connected_with_counts(tmp_path: Path, users: Broker, changes: dict[str, object], key: str) -> None:
    mqtt = settings(tmp_path, users)
    check = log_in(mqtt, "cashier-07", Running(True, contact(mqtt, **changes)))
    assert (check.state, check.what.key) == (State.WARN, key)
    assert said(check)


def test_an_agent_that_is_not_connected_has_nothing_to_lose(tmp_path: Path, users: Broker) -> None:
    mqtt = settings(tmp_path, users)
    check = log_in(mqtt, "cashier-07", Running(False, contact(mqtt)))
    assert check.what.key == "check.login_ok"


@pytest.mark.parametrize("answer", [b"", b"{}\n", b'{"error": "unknown op"}\n', b"nonsense\n"])
def test_who_cannot_be_asked_is_not_thrown_out(tmp_path: Path, users: Broker, answer: bytes) -> None:
    with answering(tmp_path / "run", answer):
        here = running(tmp_path / "run")
    check = log_in(settings(tmp_path, users), "cashier-07", here)
    assert (check.state, check.what.key) == (State.WARN, "check.login_unasked")
    assert said(check)


def test_an_agent_that_hangs_is_one_that_runs(tmp_path: Path) -> None:
    with answering(tmp_path / "run", None):
        assert running(tmp_path / "run") == Running(None, {})


def test_nobody_runs_here(tmp_path: Path) -> None:
    assert running(tmp_path / "none") is None
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / SOCKET_NAME))  # what a killed agent leaves behind
    assert running(tmp_path) is None


def test_a_broker_that_knows_no_mqtt_5_is_told_as_that(tmp_path: Path) -> None:
    port = free_port()
    with OldBroker(port=port, listen="127.0.0.1"):
        mqtt = configured(tmp_path, mqtt=f'[mqtt]\nurl = "mqtt://127.0.0.1:{port}"\n').mqtt
        assert mqtt is not None
        check = log_in(mqtt, "cashier-07", None)
    assert (check.state, check.what.key) == (State.WARN, "check.login_old")
