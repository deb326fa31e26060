"""Feeds a decoder garbage and holds it to its promises: it never raises, and finds the next good frame."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field

from drivers import registry
from drivers.driver import Decoder, Driver, Framing
from drivers.observations import Checksum, Direction, Noise, Observation
from tests.fuzz.garbage import Piece, garbage, talk

#: after so many bytes of garbage the decoder must find its way back
SPELL = 4096


@dataclass
class Report:
    """What came of fuzzing one decoder."""

    name: str
    framing: Framing
    seed: int
    fed: int = 0
    seconds: float = 0.0
    observations: int = 0
    returns: int = 0  # how often it had to find its way back, and did
    faults: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        """For people."""
        speed = self.fed / 1e6 / self.seconds if self.seconds else 0.0
        state = "ok" if not self.faults else f"{len(self.faults)} FAULTS"
        return (
            f"{self.name:<16} {self.framing:<7} seed {self.seed:<11} {self.fed:>11} bytes  {self.observations:>9} seen"
            f"  {self.returns:>6} times resynchronised  {speed:6.2f} MB/s  {state}"
        )


def cases(names: tuple[str, ...] = ()) -> Iterator[tuple[Driver, Framing]]:
    """Every driver with every framing it knows."""
    for name in names or registry.names():
        driver = registry.get(name)
        for framing in driver.framings:
            yield driver, framing


def fuzz(driver: Driver, framing: Framing, size: int, seed: int) -> Report:
    """`size` bytes of garbage through one decoder, in spells with good frames between them."""
    report = Report(driver.name, framing, seed)
    started = time.perf_counter()
    decoder = driver.decoder(framing)
    good = exchange(driver, framing)
    spell = 0
    for direction, data in garbage(driver, framing, size, seed):
        report.fed += len(data)
        seen = _fed(decoder, direction, data, report)
        if seen is None:
            decoder = driver.decoder(framing)
            continue
        spell += len(data)
        if spell >= SPELL:
            spell = 0
            _find_back(decoder, driver, good, report)
    _held(decoder.finish, report)
    report.seconds = time.perf_counter() - started
    return report


def exchange(driver: Driver, framing: Framing) -> tuple[Piece, ...]:
    """The shortest run of a recorded line that a fresh decoder understands; it must be understood behind garbage."""
    said = talk(driver.name, framing)
    decoder = driver.decoder(framing)
    for number, (direction, data) in enumerate(said):
        if any(_is_frame(seen) for seen in decoder.feed(direction, data)):
            return said[: number + 1]
    return ()


def _find_back(decoder: Decoder, driver: Driver, good: tuple[Piece, ...], report: Report) -> None:
    """The line is quiet for a moment, as behind any burst of noise; then one good frame must be understood."""
    if not good:
        return
    found = False
    for direction in Direction:
        if _held(lambda side=direction: decoder.silence(side), report) is None:  # type: ignore[misc]
            return
    for direction, data in good:
        seen = _fed(decoder, direction, data, report)
        found = found or any(_is_frame(each) for each in seen or ())
    if found:
        report.returns += 1
    else:
        report.faults.append(f"seed {report.seed}: no good frame found behind {report.fed} bytes")


def _is_frame(seen: Observation) -> bool:
    return not isinstance(seen, Noise) and seen.checksum is not Checksum.BAD and type(seen).__name__ != "Ack"


def _fed(decoder: Decoder, direction: Direction, data: bytes, report: Report) -> list[Observation] | None:
    seen = _held(lambda: decoder.feed(direction, data), report)
    if seen is not None:
        report.observations += len(seen)
    return seen


def _held(call: object, report: Report) -> list[Observation] | None:
    try:
        seen: list[Observation] = call()  # type: ignore[operator]
    except Exception:  # noqa: BLE001  what is looked for
        last = traceback.format_exc().strip().splitlines()
        report.faults.append(f"seed {report.seed}, byte {report.fed}: {last[-1]} {last[-3].strip()}")
        return None
    return seen


def main(arguments: list[str]) -> int:
    """`python -m tests.fuzz [BYTES [SEED [NAME …]]]`."""
    size = int(arguments[0]) if arguments else 10_000_000
    seed = int(arguments[1]) if len(arguments) > 1 else int.from_bytes(time.time_ns().to_bytes(8, "little")[:4])
    print(f"python -m tests.fuzz {size} {seed} {' '.join(arguments[2:])}".rstrip() + "   # does the same again")  # noqa: T201
    bad = 0
    for driver, framing in cases(tuple(arguments[2:])):
        report = fuzz(driver, framing, size, seed)
        print(report.line, flush=True)  # noqa: T201
        for fault in report.faults[:5]:
            print(f"    {fault}", file=sys.stderr)  # noqa: T201
        bad += bool(report.faults)
    return 1 if bad else 0
