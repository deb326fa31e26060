"""Records as a bridge tells them, for the tests of the screen."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any

from agent.bridge import wire
from agent.config import load
from agent.screen.app import LiveScreen, Watched
from agent.screen.follow import Clock
from agent.tap import Gap, Record
from agent.texts import Texts
from drivers import registry
from drivers.framing_lrc import frame

PAN = "4975541234514970"
#: 2026-11-24 09:30:00 +08:00 and a monotonic clock of its own
BEGAN = Clock(1_795_483_800_000_000_000, 5_000_000_000_000)
ENQ, ACK, NAK, EOT = b"\x05", b"\x06", b"\x15", b"\x04"
REQUEST = frame(b"0700001234110978          A010B010")
ANSWER = frame(b"070000012341" + PAN.encode().ljust(55) + b"978140891    ")
BROKEN = ANSWER[:-1] + bytes([ANSWER[-1] ^ 1])


class Bridge:
    """Stands for a feed: the test says what has come."""

    def __init__(self) -> None:
        self.waiting: deque[Record | Gap | None] = deque()
        self.status: dict[str, Any] = {
            "lines": {"pos1": {"link": "up", "port": "open", "cashier": "pty:/run/tillwatch/pos1"}}
        }
        self.connected = True
        self.seconds = 0.0

    def poll(self) -> None:
        """Nothing is fetched."""

    def ask(self) -> None:
        """Nobody is asked."""

    def close(self) -> None:
        """Nothing is held."""

    def clock(self) -> Clock:
        """The present of the line."""
        nanoseconds = int(self.seconds * 1e9)
        return Clock(BEGAN.wall_ns + nanoseconds, BEGAN.mono_ns + nanoseconds)

    def record(self, kind: int, payload: bytes, after: float = 0.01, line: str = "pos1") -> Record:
        self.seconds += after
        now = self.clock()
        return Record(0, 0, now.wall_ns, now.mono_ns, line, kind, payload)

    def said(self, kind: int, payload: bytes, after: float = 0.01, line: str = "pos1") -> None:
        self.waiting.append(self.record(kind, payload, after, line))

    def pays(self, answer: bytes = ANSWER, line: str = "pos1") -> None:
        """One payment, from enquiry to end."""
        for kind, payload in (
            (wire.CASHIER, ENQ),
            (wire.TERMINAL, ACK),
            (wire.CASHIER, REQUEST),
            (wire.TERMINAL, ACK),
            (wire.CASHIER, EOT),
            (wire.TERMINAL, ENQ),
            (wire.CASHIER, ACK),
            (wire.TERMINAL, answer),
            (wire.CASHIER, ACK if answer is ANSWER else NAK),
            (wire.TERMINAL, EOT),
        ):
            self.said(kind, payload, line=line)

    def happens(self, kind: int, **body: object) -> None:
        self.said(kind, json.dumps(body).encode())


CONFIG = """\
[agent]
run_dir = "/run/tillwatch"

[[terminal]]
name = "pos1"
protocol = "concert"
device = "serial:/dev/ttyUSB0"

[[terminal]]
name = "pos2"
protocol = "zvt"
device = "tcp:10.0.0.7:20007"
"""


def screen(folder: Path, bridge: Bridge, language: str = "en") -> LiveScreen:
    path = folder / "agent.toml"
    path.write_text(CONFIG)
    config = load(path, {})
    watched = [Watched(terminal, registry.get(terminal.protocol)) for terminal in config.terminals]
    return LiveScreen(watched, bridge, Texts(language), folder, bridge.clock)  # type: ignore[arg-type]
