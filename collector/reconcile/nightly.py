"""Reconciliation without a person: files laid into a folder are reconciled each morning, and again when they change.

The folder has one sub-folder for each format (`his-generic/`, `allinpay/` …); a file's name holds the business day, as
20261124 or 2026-11-24. A day is reconciled from `at` on the next working day as soon as every sub-folder has its file,
and at `until` with what there is; what is missing then, or can't be used, is an alert until it is there and was read.
A file that comes later still counts, for a week.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from agent.errors import TillwatchError
from collector.alerts.rules import When
from collector.duty import Duty
from collector.ledger import Ledger, alerts, microseconds, reconcile
from collector.reconcile import mapping
from collector.reconcile.calendar import working_day
from collector.reconcile.run import Report, Request, Source, digest_of, run_day
from collector.texts import LANGUAGES, Texts

EVERY_S = 60.0
DAYS_BACK = 7
BY = "nightly"
_UNFINISHED = (".part", ".tmp", ".filepart", ".crdownload")

#: format → (path, size, modified): whether anything changed
Fingerprint = dict[str, tuple[Path, int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nightly:
    """When and from where. Times of day in `zone`; `weekends`: acquirers' files come on Saturdays and Sundays too."""

    folder: Path
    zone: ZoneInfo
    at: time = time(10, 30)
    until: time = time(12, 0)
    weekends: bool = False


@dataclass(frozen=True, slots=True)
class Missing:
    """Files that had not come by `until`."""

    day: str
    formats: tuple[str, ...]


class NightlyReconciliation(Duty):
    """Comes round each minute; the ledger's clock says what is due. `tell` hears of each run, trouble, missing file."""

    name = "reconcile"

    def __init__(
        self, ledger: Ledger, settings: Nightly, tell: Callable[[Report | Missing], None] = lambda _news: None
    ) -> None:
        super().__init__(EVERY_S)
        self._ledger = ledger
        self._settings = settings
        self._tell = tell
        self._seen: dict[str, Fingerprint] = {}  # as of the last turn: a file that still grows is left alone
        self._done: dict[str, Fingerprint] = {}
        self._missed: set[str] = set()
        self._unlisted: str | None = None  # why the folder could not be listed last time

    def turn(self) -> None:
        """Reconcile what is due and has not been."""
        now = self._ledger.clock().astimezone(self._settings.zone)
        wanted = self._formats()
        for day in self._days(now):
            if self.stopping:
                return
            self._day(day, now, wanted)

    def _formats(self) -> list[str]:
        """What is expected of each day. A folder that can't be listed is said once: of its files nobody knows."""
        try:
            wanted, why = formats_in(self._settings.folder), None
        except OSError as error:
            wanted, why = [], f"{self._settings.folder}: {error.strerror or error}"
        if why is not None and why != self._unlisted:
            self.log.error("reconcile.folder_unreadable", reason=why)
        self._unlisted = why
        return wanted

    def _days(self, now: datetime) -> Iterator[date]:
        for back in range(DAYS_BACK, 0, -1):
            day = now.date() - timedelta(days=back)
            if now >= self._moment(day, self._settings.at):
                yield day

    def _moment(self, day: date, clock: time) -> datetime:
        after = day + timedelta(days=1)
        after = after if self._settings.weekends else working_day(after)
        return datetime.combine(after, clock, self._settings.zone)

    def _day(self, day: date, now: datetime, wanted: list[str]) -> None:
        name = day.isoformat()
        found = files_of(self._settings.folder, wanted, day)
        missing = tuple(sorted(set(wanted) - set(found)))
        until = self._moment(day, self._settings.until)
        if missing and now < until:
            return
        # Told on the day it was due: a new folder does not complain of the days before it.
        if missing and name not in self._missed and now.date() == until.date():
            self._missed.add(name)
            self.log.warning("reconcile.file_missing", day=name, formats=", ".join(missing))
            self._tell(Missing(name, missing))
            self._note(name, missing, until)
        settled, self._seen[name] = self._seen.get(name) == found, found
        if not found or not settled or self._done.get(name) == found:
            return
        self._done[name] = found
        if (self._known(name, found) or self._reconcile(name, found, now)) and not missing:
            self._note_complete(name)

    def _note(self, day: str, formats: Iterable[str], since: datetime, error: TillwatchError | None = None) -> None:
        """Have it shown among the alerts until the files are there and were read."""
        why = {language: error.text(Texts(language)) for language in LANGUAGES} if error else None
        detail = {"day": day, "formats": list(formats), "why": why, "when": When.FILE_MISSING.value}
        trouble = alerts.Trouble(day, microseconds(since), detail)
        with self._ledger.write() as connection:
            alerts.begin(connection, alerts.FILE_MISSING, trouble, microseconds(self._ledger.clock()))

    def _note_complete(self, day: str) -> None:
        with self._ledger.read() as connection:
            incident = alerts.open_incidents(connection, alerts.FILE_MISSING).get(day)
        if incident is not None:
            with self._ledger.write() as connection:
                alerts.end(connection, incident, microseconds(self._ledger.clock()))

    def _known(self, day: str, found: Fingerprint) -> bool:
        """Whether the newest run of the day read just these files: after a restart of the collector nothing is new."""
        with self._ledger.read() as connection:
            before = reconcile.day(connection, day)
        if before is None:
            return False
        read = {(file.format, file.sha256) for file in before.run.files}
        try:
            here = {(name, digest_of(path)) for name, (path, _, _) in found.items()}
        except OSError:
            return False  # the run says which one can't be read
        return here <= read and before.run.closed

    def _reconcile(self, day: str, found: Fingerprint, now: datetime) -> bool:
        """Whether it could be done."""
        try:
            files = tuple(Source(path, mapping.load(name)) for name, (path, _, _) in sorted(found.items()))
            request = Request(
                day=day,
                files=files,
                as_of_us=microseconds(now),
                by=BY,
                close=True,
                zone=self._settings.zone,
                weekends=self._settings.weekends,
            )
            report = run_day(self._ledger, request)
        except TillwatchError as error:
            self.log.error("reconcile.failed", day=day, error=str(error))
            self._note(day, sorted(found), now, error)
            return False
        bad = sum(file.bad for file in report.run.files)
        self.log.info(
            "reconcile.done", day=day, run=report.run.number, differences=len(report.differences), bad_rows=bad
        )
        self._tell(report)
        return True


def formats_in(folder: Path) -> list[str]:
    """The formats whose sub-folders are there."""
    known = set(mapping.known())
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name in known)


def files_of(folder: Path, formats: list[str], day: date) -> Fingerprint:
    """The newest file of the day for each format. A sub-folder that can't be listed has none."""
    named = re.compile(rf"(?<!\d)(?:{day:%Y%m%d}|{day:%Y-%m-%d})(?!\d)")
    found: Fingerprint = {}
    for name in formats:
        files = [
            (about.st_mtime_ns, path, about.st_size)
            for path, about in _listed(folder / name)
            if named.search(path.name) and not path.name.startswith(".") and not path.name.endswith(_UNFINISHED)
        ]
        if files:
            modified, path, size = max(files)
            found[name] = (path, size, modified)
    return found


def _listed(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Its files as they are now; one that goes away meanwhile (renamed when its transfer ended) is none."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            with contextlib.suppress(OSError):
                about = path.stat()
                if stat.S_ISREG(about.st_mode):
                    yield path, about
