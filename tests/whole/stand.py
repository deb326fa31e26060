"""A whole cashier PC for tests: simulated terminals, a real broker, a real agent with its bridge, all processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from agent.bridge.wire import SOCKET_NAME
from tests.broker import Broker, free_port
from tests.subscriber import Subscriber
from tests.waits import until

CARD = "4975541234514970"
MASKED = "497554******4970"


class Stand:
    """Start what a test needs; everything ends with it."""

    def __init__(self, folder: Path, broker: Broker | None) -> None:
        self.folder = folder
        self.broker = broker
        self.config = folder / "agent.toml"
        self.agent: subprocess.Popen[bytes] | None = None
        self._processes: list[subprocess.Popen[bytes]] = []
        self._simulated = 0
        self._text = f"""[agent]
id = "cashier-07"
site = "outpatient-1"
state_dir = "{folder}/state"
run_dir = "{folder}/run"
language = "en"
[log]
level = "debug"
"""
        if broker:
            self._text += f'[mqtt]\nurl = "{broker.url}"\n'

    @property
    def run_dir(self) -> Path:
        return self.folder / "run"

    @property
    def log(self) -> str:
        return (self.folder / "agent.log").read_text(errors="replace")

    def port(self, name: str = "pos1") -> Path:
        return self.run_dir / name

    def terminal(self, name: str, protocol: str, device: str, cashier: str | None = None, more: str = "") -> None:
        """Add a terminal to the configuration."""
        cashier = cashier or f"pty:{self.port(name)}"
        self._text += f'[[terminal]]\nname = "{name}"\nprotocol = "{protocol}"\ndevice = "{device}"\n'
        self._text += f'cashier = "{cashier}"\n{more}\n'
        self.config.write_text(self._text, encoding="utf-8")

    def simulate(self, protocol: str, *options: str, tcp: bool = False, name: str = "pos1") -> str:
        """Start a simulated terminal; returns the device for the configuration."""
        where = f"127.0.0.1:{free_port()}" if tcp else str(self.folder / f"{name}-terminal")
        log = self.folder / f"{name}-terminal.log"
        words = ["simulate", protocol, "--tcp" if tcp else "--pty", where, "--card", CARD, "--json", *options]
        self.spawn(*words, log=log)
        until(lambda: log.exists() and "ready" in log.read_text(), what="simulated terminal")
        self._simulated += self.agent is None
        return f"tcp:{where}" if tcp else f"serial:{where}"

    def simulated(self, name: str = "pos1") -> list[dict[str, Any]]:
        """What the simulated terminal says it did."""
        return [json.loads(line) for line in (self.folder / f"{name}-terminal.log").read_text().splitlines()]

    def start_agent(self, ready: bool = True) -> None:
        """Start it; `ready`: and wait until it is, with the simulated terminals' lines up."""
        already = self.log.count('"agent.ready"') if (self.folder / "agent.log").exists() else 0
        self.agent = self.spawn("run", "--config", str(self.config), log=self.folder / "agent.log")
        if ready:
            until(lambda: self.log.count('"agent.ready"') > already, what="agent ready")
            until(lambda: self.log.count('"link.up"') >= self._simulated, what="lines up")

    def kill_agent(self) -> None:
        assert self.agent is not None
        self.agent.send_signal(signal.SIGKILL)
        self.agent.wait()

    def stop_agent(self) -> int:
        assert self.agent is not None
        self.agent.send_signal(signal.SIGTERM)
        return self.agent.wait(20)

    def bridge_pid(self) -> int:
        for line in reversed(self.log.splitlines()):
            if '"bridge.connected"' in line:
                return int(json.loads(line)["pid"])
        raise AssertionError("no bridge was connected")

    def tillwatch(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a verb with this stand's configuration."""
        command = [sys.executable, "-m", "agent", *words, "--config", str(self.config)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    def subscriber(self) -> Subscriber:
        assert self.broker is not None
        return Subscriber(self.broker.port)

    def spawn(self, *words: str, log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            process = subprocess.Popen([sys.executable, "-m", "agent", *words], stdout=output, stderr=output)
        self._processes.append(process)
        return process

    def close(self) -> None:
        if self.agent is not None and self.agent.poll() is None:
            self.stop_agent()
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
                process.wait(10)
        if (self.run_dir / SOCKET_NAME).exists():  # a child that outlived a killed agent
            os.kill(self.bridge_pid(), signal.SIGTERM)
            until(lambda: not (self.run_dir / SOCKET_NAME).exists(), what="bridge gone")


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
