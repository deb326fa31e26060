"""Gathers a bundle, looks through it, and writes it; or refuses, and says where a number was found."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from agent.bundle import machine, past
from agent.bundle.pack import manifest, save, zipped
from agent.bundle.part import Missing, Part
from agent.bundle.scan import Finding, findings
from agent.bundle.settings import secrets_of, settings_part
from agent.config import Config, InvalidConfigError
from agent.phrase import Phrase, phrase

Settings = Config | InvalidConfigError


class Leave(StrEnum):
    """What can be left out."""

    JOURNAL = "journal"
    RECORDINGS = "recordings"
    LOGS = "logs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How far back a bundle looks, which log files it takes beside systemd's journal, and what it leaves out."""

    days: float = 7.0
    minutes: float = 60.0
    logs: tuple[Path, ...] = ()
    without: frozenset[Leave] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What was gathered. It may be saved only when nothing was `found` in it."""

    parts: tuple[Part, ...]
    missing: tuple[Missing, ...]
    found: tuple[Finding, ...]
    manifest: Part

    def save(self, path: Path) -> int:
        """Write the file; returns its size. Raises ValueError when something was found, else as `pack.save`."""
        if self.found:
            raise ValueError("a bundle with findings is never written")
        data = zipped(self.parts, self.manifest)
        save(path, data)
        return len(data)


def gather(config: Settings, wanted: Wanted, tell: Callable[[Phrase], None] = lambda _: None) -> Bundle:
    """Everything a bundle holds, looked through. `tell`: what is being done, for people who wait."""
    parts: list[Part] = []
    missing: list[Missing] = []
    for each in _all(config, wanted, tell):
        if isinstance(each, Part):
            parts.append(each)
        else:
            missing.append(each)
    tell(phrase("bundle.scanning"))
    secrets = secrets_of(config) if isinstance(config, Config) else []
    found = [finding for part in parts for finding in findings(part.name, part.data, secrets)]
    # Of the manifest what others have said is looked through; its digests may hold any digits.
    reasons = "\n".join(each.reason for each in missing)
    found += findings("manifest.json", reasons.encode("utf-8", "replace"), secrets)
    who = {"agent": config.agent.id, "site": config.agent.site} if isinstance(config, Config) else {}
    made = datetime.now().astimezone().isoformat(timespec="seconds")
    return Bundle(
        parts=tuple(parts),
        missing=tuple(missing),
        found=tuple(found),
        manifest=manifest(parts, missing, made, who),
    )


def _all(config: Settings, wanted: Wanted, tell: Callable[[Phrase], None]) -> Iterator[Part | Missing]:
    usable = config if isinstance(config, Config) else None
    yield settings_part(config)
    yield machine.versions()
    yield machine.platform_part(usable)
    yield machine.units()
    if usable is not None:
        yield from machine.states(usable)
        tell(phrase("bundle.checking"))
        yield machine.checks(usable)
        yield from machine.diagnoses(usable)
    yield machine.plugged_in()
    if usable is not None:
        yield from _past(usable, wanted, tell)
    if Leave.LOGS in wanted.without:
        yield _left(Leave.LOGS)
    else:
        tell(phrase("bundle.logs"))
        yield from machine.logs(wanted.days, wanted.logs)


def _past(config: Config, wanted: Wanted, tell: Callable[[Phrase], None]) -> Iterator[Part | Missing]:
    tell(phrase("bundle.journal"))
    if Leave.JOURNAL in wanted.without:
        yield _left(Leave.JOURNAL)
    else:
        yield from past.journal(config.agent.state_dir, wanted.days, time.time_ns())
    if Leave.RECORDINGS in wanted.without:
        yield _left(Leave.RECORDINGS)
    else:
        yield from past.recordings(config, wanted.minutes, time.monotonic_ns())


def _left(part: Leave) -> Missing:
    return Missing(str(part), "left out as asked")
