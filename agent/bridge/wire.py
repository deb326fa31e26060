"""What bridge and agent say to each other over the Unix socket: messages, and records of the ring inside them.

A message is a 4-byte big-endian length, one byte of type, and the payload: `J` JSON, `R` whole records. Pure.
"""

from __future__ import annotations

import json
from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

SOCKET_NAME = "bridge.sock"

# Kinds of records.
CASHIER = 1  # bytes passed from the cashier application to the terminal
TERMINAL = 2  # bytes passed from the terminal to the cashier application
QUERY = 3  # bytes of the agent to the terminal, under a lease
REPLY = 4  # bytes of the terminal during a lease; the cashier application never sees them
DROPPED = 5  # JSON: the cashier application's bytes that could not be delivered, their number only
LINK = 6  # JSON: the device came or went
PORT = 7  # JSON: the cashier application opened or closed its port, or asked for the impossible
LEASE = 8  # JSON: a lease began or ended

#: offset, wall clock ns, monotonic clock ns, payload length, line, kind
RECORD = Struct("<QQQIBBxx")
HEAD = Struct("!IB")
JSON_TYPE, RECORDS_TYPE = ord("J"), ord("R")
MAX_MESSAGE = 1 << 20


class Malformed(Exception):  # noqa: N818
    """The other side does not speak this protocol."""


def json_message(body: dict[str, Any]) -> bytes:
    """A JSON message, ready to be sent."""
    payload = json.dumps(body, ensure_ascii=False).encode()
    return HEAD.pack(len(payload) + 1, JSON_TYPE) + payload


def records_head(size: int) -> bytes:
    """What goes before `size` bytes of whole records."""
    return HEAD.pack(size + 1, RECORDS_TYPE)


class Messages:
    """Cuts a byte stream into messages, whatever the chunks."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The (type, payload) of each message that is now whole. Raises Malformed."""
        buffer = self._buffer
        buffer += data
        found = []
        at = 0
        while len(buffer) - at >= HEAD.size:
            length, kind = HEAD.unpack_from(buffer, at)
            if not 1 <= length <= MAX_MESSAGE or kind not in (JSON_TYPE, RECORDS_TYPE):
                raise Malformed(f"message of type {kind} and {length} bytes")
            end = at + 4 + length
            if len(buffer) < end:
                break
            found.append((kind, bytes(buffer[at + HEAD.size : end])))
            at = end
        del buffer[:at]
        return found


def records(payload: bytes) -> Iterator[tuple[int, int, int, int, int, bytes]]:
    """(offset, wall_ns, mono_ns, line, kind, bytes) of each record in an `R` message. Raises Malformed."""
    at = 0
    while at < len(payload):
        if len(payload) - at < RECORD.size:
            raise Malformed("half a record")
        offset, wall_ns, mono_ns, length, line, kind = RECORD.unpack_from(payload, at)
        at += RECORD.size
        if len(payload) - at < length:
            raise Malformed("half a record")
        yield offset, wall_ns, mono_ns, line, kind, payload[at : at + length]
        at += length
