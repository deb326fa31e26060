"""A collector as operations run it: a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.broker import Broker
from tests.waits import until


class Collector:
    """`tillwatch collector` on a ledger and a broker; ended, in good order or not, with the block."""

    def __init__(self, folder: Path, database: str, broker: Broker | None, *options: str) -> None:
        self._log = folder / f"collector-{len(list(folder.glob('collector-*.log')))}.log"
        words = [sys.executable, "-m", "agent", "collector", "--database", database, "--listen", "127.0.0.1:0"]
        if broker:
            words += ["--mqtt", broker.url]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen([*words, "--guest", "viewer", *options], stdout=log, stderr=log)
        self.url = str(until(lambda: self.logged("collector.ready"), 60, "collector ready")[0]["url"])
        if broker:
            until(lambda: self.logged("mqtt.connected"), 60, "collector at the broker")

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The lines of its log with that event."""
        found = []
        for line in self._log.read_text(errors="replace").splitlines():
            try:
                body = json.loads(line)
            except ValueError:
                continue
            if body.get("event") == event:
                found.append(body)
        if not found and self.process.poll() is not None:
            raise AssertionError(self._log.read_text(errors="replace"))
        return found

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.terminate()
        return self.process.wait(30)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)

    def __enter__(self) -> Collector:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()
