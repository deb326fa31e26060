"""mosquitto_sub as the subscriber: a program nobody here wrote sees what was published."""

from __future__ import annotations

import json
import subprocess
import threading
from dataclasses import dataclass
from typing import Any

from tests.waits import until


@dataclass(frozen=True)
class Message:
    topic: str
    retained: bool
    content_type: str
    payload: Any


class Subscriber:
    """Collects every message of a topic filter. Once made, it is subscribed: nothing published later is missed."""

    def __init__(self, port: int, topic: str = "tillwatch/1/#", *more: str) -> None:
        self.messages: list[Message] = []
        probe = f"probe/{id(self)}"
        self._subscribed = threading.Event()
        form = "%t\t%r\t%C\t%p"
        command = ["mosquitto_sub", "-V", "5", "-q", "1", "-p", str(port), "-t", probe, "-t", topic, "-F", form, *more]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        knock = ["mosquitto_pub", "-p", str(port), "-t", probe, "-m", "0"]
        until(lambda: subprocess.run(knock, check=False) and self._subscribed.is_set(), 10, "subscription")

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            topic, retained, content_type, payload = line.rstrip("\n").split("\t", 3)
            if topic.startswith("probe/"):
                self._subscribed.set()
                continue
            self.messages.append(
                Message(topic, retained == "1", content_type, json.loads(payload) if payload else None)
            )
        self._process.stdout.close()

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events, in the order they came."""
        return [m.payload for m in list(self.messages) if "/events/" in m.topic]

    @property
    def state(self) -> dict[str, Any] | None:
        """The last state."""
        states = [m.payload for m in list(self.messages) if m.topic.endswith("/state")]
        return states[-1] if states else None

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    def await_type(self, kind: str, count: int = 1, seconds: float = 20) -> list[dict[str, Any]]:
        """The first so many events of a type."""
        return until(lambda: (got := self.of_type(kind)) and len(got) >= count and got, seconds, f"{count} × {kind}")[
            :count
        ]
