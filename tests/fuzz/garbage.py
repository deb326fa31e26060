"""What fuzzed decoders are fed: random bytes, and good frames of the recorded lines with something broken in them.

Everything comes from a seed, so that what once failed can be tried again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from agent import tlog
from agent.tlog import Sent
from drivers.driver import Driver, Framing
from drivers.observations import Direction

LOGS = Path(__file__).parents[1] / "logs"
Piece = tuple[Direction, bytes]

_SIGNIFICANT = b"\x02\x03\x04\x05\x06\x10\x15\x1b\x1c\x00\xff\x7f\x80\n\r{}<>0123456789"


@cache
def talk(protocol: str, framing: Framing) -> tuple[Piece, ...]:
    """What was said in the recorded lines of a protocol with that framing, both sides, in order."""
    said = []
    for path in sorted(LOGS.glob("*.tlog")):
        log = tlog.read(path)
        if log.header.protocol == protocol and log.header.framing in (framing, Framing.AUTO):
            said += [(record.direction, record.data) for record in log.records if isinstance(record, Sent)]
    return tuple(said)


@cache
def other_talk(protocol: str) -> tuple[Piece, ...]:
    """What was said in the lines of all other protocols: they look like frames, and are none of this one."""
    said = []
    for path in sorted(LOGS.glob("*.tlog")):
        log = tlog.read(path)
        if log.header.protocol != protocol:
            said += [(record.direction, record.data) for record in log.records if isinstance(record, Sent)]
    return tuple(said)


def garbage(driver: Driver, framing: Framing, size: int, seed: int) -> Iterator[Piece]:
    """Some `size` bytes, in chunks of any length, from either side."""
    chance = random.Random(seed)
    known = talk(driver.name, framing)
    others = other_talk(driver.name)
    left = size
    while left > 0:
        direction, data = _passage(chance, known, others)
        left -= len(data)
        while data:
            cut = chance.choice((1, 2, 3, 7, 16, 64, 256, 4096))
            yield direction, data[:cut]
            data = data[cut:]


def _passage(chance: random.Random, known: tuple[Piece, ...], others: tuple[Piece, ...]) -> Piece:
    kind = chance.randrange(10)
    side = chance.choice((Direction.CASHIER, Direction.TERMINAL))
    if kind == 0 or not (known or others):
        return side, chance.randbytes(chance.randrange(1, 600))
    if kind == 1:
        return side, bytes(chance.choices(_SIGNIFICANT, k=chance.randrange(1, 200)))
    if kind == 2 and others:
        return chance.choice(others)
    direction, data = chance.choice(known or others)
    return (direction if chance.random() < 0.9 else side), _broken(chance, data)


def _broken(chance: random.Random, data: bytes) -> bytes:
    """The same with something wrong: a bit, a byte, a piece twice or not at all; one in six stays as it is."""
    if not data:
        return data
    hurt = bytearray(data)
    at = chance.randrange(len(hurt))
    match chance.randrange(6):
        case 0:
            hurt[at] ^= 1 << chance.randrange(8)
        case 1:
            hurt[at] = chance.randrange(256)
        case 2:
            del hurt[at : at + chance.randrange(1, 20)]
        case 3:
            hurt[at:at] = hurt[at : at + chance.randrange(1, 40)]
        case 4:
            hurt[at:at] = chance.randbytes(chance.randrange(1, 5))
    return bytes(hurt)
