"""Scripted cashier applications: they pay through an agent's virtual port like any other application would.

Each plays the cashier's side of a protocol over a byte stream, and can misbehave on purpose: walk away before the
answer, or read the answer and never acknowledge it.
"""

from __future__ import annotations

import os
import select
import socket
import time
from enum import StrEnum
from functools import reduce
from operator import xor
from pathlib import Path

import serial

#: a nonce is written in digits
_DIGITS = str.maketrans("abcdef", "012345")
ENQ, ACK, NAK, EOT, STX, ETX = b"\x05", b"\x06", b"\x15", b"\x04", b"\x02", b"\x03"


class Manner(StrEnum):
    """How a cashier application behaves in one payment."""

    PROPER = "proper"
    WALK_AWAY = "walk_away"  # closes the port before the answer
    NO_ACK = "no_ack"  # takes no notice of the answer


class NoAnswer(Exception):  # noqa: N818 (an everyday event at a window, not a fault of the program)
    """The terminal said nothing in time."""


class _Stream:
    """The application's end of the port: reads bytes with a deadline."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, count: int, seconds: float) -> bytes:
        deadline = time.monotonic() + seconds
        data = b""
        while len(data) < count:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._descriptor], [], [], left)[0]:
                raise NoAnswer
            chunk = os.read(self._descriptor, count - len(data))
            if not chunk:
                raise NoAnswer
            data += chunk
        return data

    def write(self, data: bytes) -> None:
        os.write(self._descriptor, data)


def pay_concert(port: Path, amount: int, manner: Manner, patience_s: float, currency: str = "978") -> str | None:
    """Pay over Caisse Concert; the result digit, or None when there was no answer. Raises OSError, NoAnswer.

    `currency`: ISO 4217 number.
    """
    with serial.Serial(str(port), 9600, timeout=0) as opened:
        line = _Stream(opened.fileno())
        request = f"01{amount:08}1" + f"10{currency}" + " " * 10 + "A010B010"
        body = request.encode() + ETX
        line.write(ENQ)
        _expect(line, ACK)
        line.write(STX + body + bytes([reduce(xor, body)]))
        _expect(line, ACK)
        line.write(EOT)
        if manner is Manner.WALK_AWAY:
            return None
        _expect(line, ENQ, patience_s)
        line.write(ACK)
        _expect(line, STX)
        answer = b""
        while (byte := line.read(1, 2)) != ETX:
            answer += byte
        line.read(1, 2)
        if manner is Manner.NO_ACK:
            time.sleep(4)
            return None
        line.write(ACK)
        _expect(line, EOT)
        return answer[2:3].decode()


def pay_zvt(
    address: tuple[str, int], amount: int, manner: Manner, patience_s: float, currency: str = "978"
) -> str | None:
    """Pay over ZVT on TCP; the result code, or None when there was no answer. Raises OSError, NoAnswer.

    `currency`: ISO 4217 number.
    """
    with socket.create_connection(address, timeout=5) as connection:
        line = _Stream(connection.fileno())
        line.write(bytes.fromhex("06010A04") + bytes.fromhex(f"{amount:012}") + bytes.fromhex(f"490{currency}"))
        if manner is Manner.WALK_AWAY:
            _read_apdu(line, 5)
            return None
        result = None
        while True:
            head, body = _read_apdu(line, patience_s)
            if head in (b"\x80\x00", b"\x84\x00"):
                continue
            if manner is Manner.NO_ACK and head in (b"\x06\x0f", b"\x06\x1e"):
                time.sleep(4)
                return None
            line.write(b"\x80\x00\x00")
            if head == b"\x04\x0f" and b"\x27" in body:
                result = f"{body[body.index(0x27) + 1]:02X}"
            if head in (b"\x06\x0f", b"\x06\x1e"):
                return result


def pay_ing_tlv(port: Path, amount: int, manner: Manner, patience_s: float) -> str | None:
    """Pay over ING-TLV (config/protocols/ing-tlv.toml); the response code. Raises OSError, NoAnswer."""
    with serial.Serial(str(port), 9600, timeout=0) as opened:
        line = _Stream(opened.fileno())
        nonce = os.urandom(2).hex().translate(_DIGITS)
        fields = {"DF01": "00", "DF02": "45", "DF03": f"{amount:012}", "DF04": nonce, "DF08": "5555", "DF09": "3004"}
        body = b"".join(bytes.fromhex(f"{tag}{len(value) // 2:02X}{value}") for tag, value in fields.items())
        covered = bytes.fromhex(f"{len(body):04}") + body + ETX
        line.write(STX + covered + bytes([reduce(xor, covered)]))
        _expect(line, ACK)
        if manner is Manner.WALK_AWAY:
            return None
        _expect(line, STX, patience_s)
        length = int(line.read(2, 2).hex())
        answer = line.read(length + 2, 5)
        if manner is Manner.NO_ACK:
            time.sleep(4)
            return None
        line.write(ACK)
        code = answer.find(b"\xdf\x07\x02")
        return answer[code + 3 : code + 5].decode("ascii", "replace") if code >= 0 else "?"


def _read_apdu(line: _Stream, seconds: float) -> tuple[bytes, bytes]:
    head = line.read(2, seconds)
    length = line.read(1, 5)[0]
    if length == 0xFF:
        length = int.from_bytes(line.read(2, 5), "little")
    return head, line.read(length, 5) if length else b""


def _expect(line: _Stream, wanted: bytes, seconds: float = 3.0) -> None:
    if line.read(1, seconds) != wanted:
        raise NoAnswer
