"""Asks silent terminals which protocol they speak: opens a free port, tries each driver's probe, closes it again.

Only words that move no money are said (drivers/driver.py, Probe). A port that somebody holds is never opened, nor is
one that this PC's agent owns; a port on which something is said unasked is left alone.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from agent.bridge.opener import open_link
from drivers.driver import Driver, Framing, LineDefaults
from drivers.links.base import BUSY, LinkError
from drivers.probing import Attempt, Verdict

LISTEN_S = 0.4  # a line on which nothing is said for so long may be asked
LONGEST_S = 8.0  # one attempt, whatever the terminal says
SETTLE_S = 0.15  # between two attempts: what a terminal says late to the first is not for the second


class Found(StrEnum):
    """What came of probing one port."""

    ANSWERED = "answered"
    SILENT = "silent"  # to everything
    OTHER = "other"  # it says something, and none of the probes knows it
    TALKING = "talking"  # it says something unasked: somebody is at work there, or it is no terminal
    HELD = "held"
    OURS = "ours"  # a terminal of the configuration, and the bridge runs
    FAILED = "failed"  # it can't be opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """The result for one port. `line` are the settings that worked."""

    address: str
    found: Found
    protocol: str | None = None
    line: LineDefaults | None = None
    detail: str | None = None
    holders: tuple[str, ...] = ()


def probed(address: str, drivers: Sequence[Driver], ours: bool = False) -> Probed:
    """Probe one port, the likeliest driver first. `ours`: the running bridge owns it."""
    if ours:
        return Probed(address=address, found=Found.OURS)
    heard = False
    try:
        for driver, line in _tries(address, drivers):
            link = open_link(_settings(line), address)
            try:
                verdict = _ask(link.fileno(), driver, _framing(address, driver))
            finally:
                link.close()
            if verdict is None:
                return Probed(address=address, found=Found.TALKING)
            if verdict is Verdict.ANSWERED:
                return Probed(address=address, found=Found.ANSWERED, protocol=driver.name, line=line)
            heard = heard or verdict is Verdict.OTHER
    except LinkError as error:
        found = Found.HELD if error.reason == BUSY else Found.FAILED
        return Probed(address=address, found=found, detail=error.detail, holders=error.holders)
    except OSError as error:
        return Probed(address=address, found=Found.FAILED, detail=error.strerror or str(error))
    return Probed(address=address, found=Found.OTHER if heard else Found.SILENT)


def _tries(address: str, drivers: Sequence[Driver]) -> Iterator[tuple[Driver, LineDefaults]]:
    """All protocols at their usual settings first, then at the others; without a serial line there is one setting."""
    probes = [(driver, driver.probe.lines) for driver in drivers if driver.probe is not None]
    rounds = max((len(lines) for _, lines in probes), default=0) if address.startswith("serial:") else 1
    for place in range(rounds):
        for driver, lines in probes:
            if place < len(lines):
                yield driver, lines[place]


def _settings(line: LineDefaults) -> dict[str, Any]:
    parts = {"baudrate": line.baudrate, "bytesize": line.bytesize, "parity": line.parity, "stopbits": line.stopbits}
    return parts | {"flow": "none"}


def _framing(address: str, driver: Driver) -> Framing:
    bare = address.startswith("tcp:") and Framing.NONE in driver.framings
    return Framing.NONE if bare else driver.framings[0]


def _ask(descriptor: int, driver: Driver, framing: Framing) -> Verdict | None:
    """One attempt; None when the line is not quiet enough to be asked."""
    assert driver.probe is not None  # noqa: S101  only drivers with a probe are tried
    if _read(descriptor, LISTEN_S):
        return None
    attempt = Attempt(driver.probe, framing)
    os.write(descriptor, attempt.begin())
    end = time.monotonic() + LONGEST_S
    while not attempt.done and (left := end - time.monotonic()) > 0:
        data = _read(descriptor, min(driver.probe.patience_s, left))
        if not data:
            break
        os.write(descriptor, attempt.hear(data))
    os.write(descriptor, attempt.end())
    while _read(descriptor, SETTLE_S) and time.monotonic() < end:
        continue
    return attempt.verdict


def _read(descriptor: int, seconds: float) -> bytes:
    """What comes within that time; nothing when it is quiet. Raises OSError when the line has ended."""
    if not select.select([descriptor], [], [], seconds)[0]:
        return b""
    data = os.read(descriptor, 4096)
    if not data:
        raise OSError(0, "the device is gone")
    return data
