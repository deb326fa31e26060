"""The service as systemd runs it: ready when it is, a first administrator, a clean end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.waits import until


class Service:
    """A collector without a broker, told where to report that it is ready."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "log"
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.bind(str(folder / "notify"))
        self.notified.settimeout(60)
        words = ["collector", "--database", f"sqlite:///{folder}/ledger.sqlite", "--listen", "127.0.0.1:0"]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "agent", *words],
                stdout=log,
                stderr=log,
                env=os.environ | {"NOTIFY_SOCKET": str(folder / "notify")},
            )

    def logged(self, event: str) -> dict[str, Any]:
        lines = [json.loads(line) for line in self._log.read_text().splitlines()]
        return next((line for line in lines if line["event"] == event), {})

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.notified.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path)
    yield service
    service.close()


def get(url: str) -> tuple[int, str]:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.status, answer.read().decode()


def test_it_says_when_it_is_ready_offers_the_first_account_and_ends_cleanly(service: Service) -> None:
    assert service.notified.recv(100) == b"READY=1"
    url = until(lambda: service.logged("collector.ready"), 30, "ready")["url"]
    assert get(f"{url}/api/health")[0] == 200
    offered = service.logged("collector.no_administrator")["url"]
    assert offered.startswith(f"{url}/first/")
    status, page = get(offered)
    assert status == 200
    assert "password" in page

    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(40) == 0
    assert service.notified.recv(100) == b"STOPPING=1"
    assert service.logged("collector.ready")["level"] == "info"
