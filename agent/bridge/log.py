"""The bridge's log: one line a message on stderr, never waiting for its reader, never a byte of the line."""

from __future__ import annotations

import json
import os
import select
import time

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Log:
    """Writes to a descriptor when that takes the line at once, and counts what it could not write."""

    __slots__ = ("_descriptor", "_json", "_level", "_poll", "dropped")

    def __init__(self, level: str = "info", format: str = "auto", descriptor: int = 2) -> None:
        self._descriptor = descriptor
        self._level = LEVELS.get(level, 20)
        self._json = format == "json" or (format == "auto" and not os.isatty(descriptor))
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self.dropped = 0

    def say(self, level: str, event: str, **facts: object) -> None:
        """One line."""
        if LEVELS[level] < self._level:
            return
        now = time.time()
        known = {name: value for name, value in facts.items() if value is not None}
        if self._json:
            stamp = (
                time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(now)) + f".{int(now * 1000) % 1000:03}" + _zone(now)
            )
            line = json.dumps({"ts": stamp, "level": level, "event": event, **known}, ensure_ascii=False)
        else:
            words = " ".join(f"{name}={value}" for name, value in known.items())
            line = f"{time.strftime('%H:%M:%S', time.localtime(now))} {level:<7} {event} {words}"
        self._write(line.encode(errors="replace")[:4000] + b"\n")

    def _write(self, line: bytes) -> None:
        try:
            if any(events & select.POLLOUT for _, events in self._poll.poll(0)):
                os.write(self._descriptor, line)
                return
        except OSError:
            pass  # nobody reads it any more; counted below
        self.dropped += 1


def _zone(now: float) -> str:
    offset = time.localtime(now).tm_gmtoff // 60
    return f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
