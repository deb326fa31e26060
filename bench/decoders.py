"""How fast each decoder reads, beside a plain bytes.find scan of the same data; and whether time grows linearly.

python -m bench decoders

The data are the recorded lines of the protocol (tests/logs), over and over, in the chunks in which they came. The scan
looks for a byte that begins frames, over each chunk: what any decoder has to do at least.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from drivers.driver import Driver, Framing
from drivers.observations import Direction
from tests.fuzz.garbage import Piece, talk
from tests.fuzz.run import cases

BYTES = 1_000_000
ROUNDS = 5
SIZES = (65_536, 262_144)
STX = b"\x02"
HOSTILE = (b"\x02", b"\x10\x02", b"\x10", b"\x02\xff\xff", b"\x06\x01\xff\xff\xff", b"\x1b", b"6222021234567890")


def run() -> Iterator[dict[str, Any]]:
    """One JSON object a decoder."""
    for driver, framing in cases():
        said = talk(driver.name, framing)
        if said:
            yield _figure(driver, framing, said)
    yield from _hostile()


def _figure(driver: Driver, framing: Framing, said: tuple[Piece, ...]) -> dict[str, Any]:
    whole = sum(len(data) for _, data in said)
    pieces = said * max(1, BYTES // whole)
    size = whole * max(1, BYTES // whole)
    scan = min(_timed(lambda: _scan(pieces)) for _ in range(ROUNDS))
    decode = min(_timed(lambda: _decode(driver, framing, pieces)) for _ in range(ROUNDS))
    joined = b"".join(data for _, data in pieces)
    find = min(_timed(lambda: _find(joined)) for _ in range(ROUNDS))
    return {
        "figure": f"decode {driver.name} ({framing})",
        "mb_per_s": round(size / decode / 1e6, 2),
        "scan_mb_per_s": round(size / scan / 1e6, 1),
        "ratio": round(scan / decode, 4),
        "scan_in_one_piece_mb_per_s": round(size / find / 1e6, 1),
        "mean_chunk": round(size / len(pieces), 1),
        "goal": 0.2,
    }


def _hostile() -> Iterator[dict[str, Any]]:
    """Bytes made to cost: four times as many may take some four times as long. Of each decoder the slowest kind."""
    for driver, framing in cases():
        yield _growth(driver, framing)


def _growth(driver: Driver, framing: Framing) -> dict[str, Any]:
    def cost(pattern: bytes, size: int, rounds: int = 3) -> float:
        return min(_timed(lambda: _feed(driver, framing, pattern, size)) for _ in range(rounds))

    slowest = max(HOSTILE, key=lambda pattern: cost(pattern, SIZES[0], 1))
    little, much = (cost(slowest, size) for size in SIZES)
    return {
        "figure": f"hostile bytes {driver.name} ({framing})",
        "time_of_4x": round(much / little, 1),
        "goal": 4.0,
        "mb_per_s": round(SIZES[1] / much / 1e6, 2),
        "bytes": slowest.hex(),
    }


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _scan(pieces: tuple[Piece, ...]) -> int:
    return sum(_find(data) for _, data in pieces)


def _find(data: bytes) -> int:
    found = at = 0
    while (at := data.find(STX, at) + 1) > 0:
        found += 1
    return found


def _decode(driver: Driver, framing: Framing, pieces: tuple[Piece, ...]) -> int:
    decoder = driver.decoder(framing)
    return sum(len(decoder.feed(direction, data)) for direction, data in pieces)


def _feed(driver: Driver, framing: Framing, pattern: bytes, size: int) -> None:
    data = pattern * (size // len(pattern))

    decoder = driver.decoder(framing)
    for at in range(0, len(data), 1000):
        decoder.feed(Direction.TERMINAL, data[at : at + 1000])
