"""The agent's end of the bridge's socket: typed records in, requests out."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.bridge import wire
from agent.errors import UnreachableError

_ANSWER_S = 3.0
#: what comes of reading something that no bridge of ours says
_NO_BRIDGE = (wire.Malformed, ValueError, TypeError, LookupError, AttributeError)


@dataclass(frozen=True, slots=True)
class Hello:
    """Which bridge process this is, and which records it holds."""

    ring: str
    boot_id: str
    oldest: int
    next: int
    lines: tuple[str, ...]
    child: bool
    digest: str
    pid: int
    version: str


@dataclass(frozen=True, slots=True)
class Record:
    """Something that passed or happened on a line; `kind` is one of agent.bridge.wire."""

    offset: int
    next_offset: int
    wall_ns: int
    mono_ns: int
    line: str
    kind: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Gap:
    """Records from `start` to `end` are lost to this tap."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Told:
    """Any other answer or notice."""

    body: dict[str, Any]


Message = Record | Gap | Told


class Tap:
    """A connection to the bridge. Raises UnreachableError when there is none, or it has ended."""

    def __init__(self, connection: socket.socket, run_dir: Path) -> None:
        self._connection = connection
        self._run_dir = run_dir
        self._messages = wire.Messages()
        self._early: list[Message] = []
        self.hello = self._greet()

    @classmethod
    def connect(cls, run_dir: Path) -> Tap:
        """Connect to the bridge of that folder."""
        path = run_dir / wire.SOCKET_NAME
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(_ANSWER_S)
            connection.connect(str(path))
            return cls(connection, run_dir)
        except PermissionError as error:
            connection.close()
            raise UnreachableError("bridge.denied", path=path) from error
        except (OSError, *_NO_BRIDGE) as error:
            connection.close()
            raise UnreachableError("bridge.unreachable", path=path) from error

    def fileno(self) -> int:
        """For a selector."""
        return self._connection.fileno()

    def request(self, op: str, **values: Any) -> None:
        """Ask; the answer comes with `receive`."""
        try:
            self._connection.sendall(wire.json_message({"op": op, **values}))
        except OSError as error:
            raise self._ended() from error

    def receive(self) -> list[Message]:
        """What is there to be read now. Blocks when nothing is: select first."""
        if self._early:
            early, self._early = self._early, []
            return early
        try:
            data = self._connection.recv(262_144)
        except OSError as error:
            raise self._ended() from error
        if not data:
            raise self._ended()
        try:
            return [message for kind, payload in self._messages.feed(data) for message in self._typed(kind, payload)]
        except _NO_BRIDGE as error:
            raise self._ended() from error

    def await_message(self, wanted: Callable[[Message], bool], seconds: float = _ANSWER_S) -> Message | None:
        """The next message that fits, within that time; others are left out."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if not self._early and not select.select([self._connection], [], [], left)[0]:
                break
            for message in self.receive():
                if wanted(message):
                    return message
        return None

    def await_told(self, key: str, seconds: float = _ANSWER_S) -> Any:
        """The value of the next answer that has this key; None when there is none in time."""
        found = self.await_message(lambda m: isinstance(m, Told) and key in m.body, seconds)
        return found.body[key] if isinstance(found, Told) else None

    def close(self) -> None:
        """Leave."""
        self._connection.close()

    def _greet(self) -> Hello:
        while True:
            data = self._connection.recv(65536)
            if not data:
                raise wire.Malformed("no hello")
            for kind, payload in self._messages.feed(data):
                body = json.loads(payload)
                if kind == wire.JSON_TYPE and body.get("hello") == "tillwatch-bridge":
                    names = ("ring", "boot_id", "oldest", "next", "child", "digest", "pid", "version")
                    return Hello(lines=tuple(body["names"]), **{name: body[name] for name in names})

    def _typed(self, kind: int, payload: bytes) -> list[Message]:
        if kind == wire.RECORDS_TYPE:
            head = wire.RECORD.size
            return [
                Record(offset, offset + head + len(data), wall_ns, mono_ns, self.hello.lines[line], record_kind, data)
                for offset, wall_ns, mono_ns, line, record_kind, data in wire.records(payload)
            ]
        body = json.loads(payload)
        if gap := body.get("gap"):
            return [Gap(gap["from"], gap["to"])]
        return [Told(body)]

    def _ended(self) -> UnreachableError:
        return UnreachableError("bridge.ended", path=self._run_dir / wire.SOCKET_NAME)


def held_records(tap: Tap) -> Iterator[Record]:
    """Everything that the bridge holds when this is called, oldest first; ends early when it stops telling."""
    tap.request("tap", **{"from": tap.hello.oldest})
    at = tap.hello.oldest
    while at < tap.hello.next and select.select([tap.fileno()], [], [], _ANSWER_S)[0]:
        for message in tap.receive():
            if isinstance(message, Record) and message.offset < tap.hello.next:
                at = message.next_offset
                yield message
            elif isinstance(message, Gap):
                at = message.end


def bridge_status(run_dir: Path) -> dict[str, Any]:
    """The state of the running bridge and its lines. Raises UnreachableError."""
    tap = Tap.connect(run_dir)
    try:
        tap.request("status")
        status: dict[str, Any] | None = tap.await_told("status")
    finally:
        tap.close()
    if status is None:
        raise UnreachableError("bridge.unreachable", path=run_dir / wire.SOCKET_NAME)
    return status
