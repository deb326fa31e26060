"""A broker for the demo: mosquitto where it is installed, else an embedded one from PyPI (extra `demo`)."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from agent.errors import UnreachableError


class DemoBroker:
    """A broker on a free port of 127.0.0.1, gone with `stop`."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
        self.name = "mosquitto" if program else "iotcore"
        self._process: subprocess.Popen[bytes] | None = None
        self._embedded: Any = None
        if program:
            self._process = _start_mosquitto(program, folder, self.port)
        else:
            self._embedded = _start_embedded(self.port)
        _await_port(self.port)

    def stop(self) -> None:
        """End the broker."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(5)
        if self._embedded is not None:
            self._embedded.stop()


def free_port() -> int:
    """A TCP port of this machine that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start_mosquitto(program: str, folder: Path, port: int) -> subprocess.Popen[bytes]:
    settings = folder / "mosquitto.conf"
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n", encoding="utf-8")
    return subprocess.Popen(
        [program, "-c", str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def _start_embedded(port: int) -> Any:
    try:
        import iotcore  # only the demo on a machine without mosquitto needs it
    except ImportError as error:
        raise UnreachableError("demo.no_broker") from error
    return iotcore.Broker(port=port, listen="127.0.0.1").start()


def _await_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
            return
        except OSError:
            time.sleep(0.05)
    raise UnreachableError("demo.broker_silent", port=port)
