"""The agent's state, as the retained MQTT message, the metrics and the local socket show it.

Read from several threads: the books are frozen values, so each reader sees a whole one.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from typing import Any

from agent import __version__
from agent.config import Config
from agent.engine import Engine
from agent.events import timestamp
from agent.publish import Publisher


class Status:
    """Answers "how is it?"."""

    def __init__(self, config: Config, since: str, engine: Callable[[], Engine]) -> None:
        self._config = config
        self._since = since
        self._engine = engine
        self.publisher: Publisher | None = None
        #: what is known of the fleet's configuration, on a PC that was enrolled
        self.configuration: Callable[[], dict[str, Any]] | None = None

    def message(self, online: bool, acknowledged: int) -> bytes:
        """The retained `state`; the last will and the goodbye are the same with `online` false."""
        return json.dumps(self._state(online, acknowledged), ensure_ascii=False).encode()

    def metrics(self) -> bytes:
        """Counters and gauges."""
        engine = self._engine()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        acknowledged = self.publisher.acknowledged if self.publisher else 0
        figures = {
            "time": timestamp(time.time_ns()),
            "events_total": engine.journal.sequence,
            "outbox": engine.journal.sequence - acknowledged,
            "pending": engine.unknown,
            "cpu_seconds_total": round(usage.ru_utime + usage.ru_stime, 3),
            "resident_peak_kib": usage.ru_maxrss,
        }
        return json.dumps(figures).encode()

    def answer(self) -> dict[str, Any]:
        """For the local socket."""
        acknowledged = self.publisher.acknowledged if self.publisher else 0
        return self._state(True, acknowledged) | {"broker": self._broker(), "mqtt": self._mqtt()}

    def _broker(self) -> str:
        if self.publisher is None:
            return "none"
        return "connected" if self.publisher.connected else "unreachable"

    def _mqtt(self) -> dict[str, Any] | None:
        """With which settings the broker is spoken to, and how it answers; None without a broker."""
        settings = self._config.mqtt
        if settings is None or self.publisher is None:
            return None
        contact = self.publisher.contact
        return {
            "url": settings.url,
            "username": settings.username,
            "cert_file": None if settings.cert_file is None else str(settings.cert_file),
            "since": contact.since,
            "version": contact.version,
            "failure": contact.failure,
            "denied": sorted(contact.denied),
        }

    def _state(self, online: bool, acknowledged: int) -> dict[str, Any]:
        engine = self._engine()
        terminals = {}
        for name, watcher in engine.watchers.items():
            book = watcher.book
            heard = book.last_frame_wall_ns
            terminals[name] = {
                "link": str(book.link),
                "reason": book.link_reason,
                "protocol": watcher.protocol,
                "last_frame_at": None if heard is None else timestamp(heard),
            }
        state = {
            "online": online,
            "agent": self._config.agent.id,
            "site": self._config.agent.site,
            "version": __version__,
            "since": self._since,
            "epoch": engine.journal.source.epoch,
            "terminals": terminals,
            "pending": engine.unknown,
            "outbox": engine.journal.sequence - acknowledged,
            "sequence": engine.journal.sequence,
        }
        if self.configuration is not None:
            state["configuration"] = self.configuration()
        return state
