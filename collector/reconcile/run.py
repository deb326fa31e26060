"""One day's reconciliation: reads the files and the journal, matches, stores. The same inputs give the same result.

A run of a day holds all its files against each other: a file that an earlier run of the day read, and that is not
named now, is read again from where it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from collector.ledger import Ledger, microseconds, reconcile, reconcile_payments
from collector.ledger.entries import Entry, Side
from collector.ledger.reconcile import Difference, FileRead, Run
from collector.ledger.reconcile_payments import Naming
from collector.reconcile import mapping as formats
from collector.reconcile.calendar import Cut, Terms, day_of, shift, start_of
from collector.reconcile.errors import FileError
from collector.reconcile.mapping import Mapping as Format
from collector.reconcile.match import Found, Known, match
from collector.reconcile.reading import BadRow, StatementFile
from collector.reconcile.staging import Staging
from collector.reconcile.store import Store, Stored, categories_of

#: rows of other days in a file that may still belong to this day's matters
_NEAR_DAYS = 1
#: how far back refunds and unsettled differences are looked for
AROUND_DAYS = 16
_BAD_KEPT = 1000
_QUARTER_US = 900_000_000


@dataclass(frozen=True, slots=True)
class Source:
    """A file and its format."""

    path: Path
    format: Format


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to reconcile. `as_of_us`: judged as of this time. `close`: settle pending payments and open cases too."""

    day: str
    files: tuple[Source, ...]
    as_of_us: int
    by: str
    close: bool = False
    zone: ZoneInfo | None = None
    weekends: bool = False


@dataclass(slots=True)
class Report:
    """What a run did. `bad`: the first rows that could not be read; their number is in the run's files."""

    run: Run
    stored: Stored
    differences: list[Difference]
    bad: list[BadRow] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether everything of the day is matched, or under way, and every row could be read."""
        states = any(difference.status == reconcile.OPEN for difference in self.differences)
        return not states and not any(file.bad or file.total_ok is False for file in self.run.files)


class Progress(Protocol):
    """Told how far a run is."""

    def stage(self, name: str, total: int | None = None) -> None:
        """A stage begins; `total`: of what `at` counts, where it is known."""
        ...

    def at(self, done: int) -> None:
        """So much of the stage is done."""
        ...


class _Silent:
    def stage(self, name: str, total: int | None = None) -> None:
        pass

    def at(self, done: int) -> None:
        pass


def run_day(ledger: Ledger, request: Request, progress: Progress | None = None) -> Report:
    """Reconcile one day and store what was found. Raises FileError, MappingError, LedgerError."""
    progress = progress or _Silent()
    started_us = microseconds(ledger.clock())
    with ledger.read() as connection:
        earlier = reconcile.day(connection, request.day)
    sources = _all_sources(request.files, earlier)
    by_side = {side: tuple(one for one in sources if one.format.side is side) for side in Side}
    by_side = {side: those for side, those in by_side.items() if those}
    zone = request.zone or sources[0].format.zone
    with Staging() as staging:
        bad: list[BadRow] = []
        with ledger.read() as connection:
            desk = _Desk(connection, request, by_side, zone)
            desk.stage_journal(staging, progress)
            desk.stage_carried(staging)
        read = [_stage_file(staging, source, request.day, desk, bad, progress) for source in sources]
        found = match(
            staging, desk.terms, [Side.JOURNAL, *by_side], lambda key: progress.stage(f"key_{key.name.lower()}")
        )
    progress.stage("storing")
    with ledger.write() as connection:
        reconcile.take_turns(connection)
        number = reconcile.add_run(connection, _values(request, zone, started_us, found, read))
        store = Store(
            connection,
            day=request.day,
            run=number,
            now_us=microseconds(ledger.clock()),
            close=request.close,
            before=reconcile.differences_in_play(
                connection, request.day, since=shift(request.day, -AROUND_DAYS), until=shift(request.day, AROUND_DAYS)
            ),
        )
        stored = store.verdicts(found.verdicts)
        _keep(connection, request, by_side, found)
        _drop_unproved(connection, request, found)
        ended_us = microseconds(ledger.clock())
        _mark(connection, request, zone, found, ended_us)
        reconcile.set_day(connection, request.day, number, by_side)
        proved = sum(verdict.proof is not None for verdict in found.verdicts if verdict.day == request.day)
        ending = {"ended_us": ended_us, "settled": len(stored.settled), "proved": proved}
        reconcile.finish_run(connection, number, ending)
    with ledger.read() as connection:
        run = reconcile.run(connection, number)
        differences = _unsettled(connection, request.day)
    assert run is not None  # noqa: S101 (it was just stored)
    return Report(run, stored, differences, bad)


def _unsettled(connection: Connection, day: str) -> list[Difference]:
    states = (reconcile.OPEN, reconcile.IN_TRANSIT)
    return reconcile.differences(connection, day=day, status=states, limit=1_000_000)


def _all_sources(given: tuple[Source, ...], earlier: reconcile.Day | None) -> list[Source]:
    """The files named now, and those that earlier runs of the day have read; a file takes the place of one alike."""
    formats_given = {source.format.name for source in given}
    if len(formats_given) < len(given):
        raise FileError("reconcile.file_format_twice", where=given[-1].path, format=given[-1].format.name)
    sources = list(given)
    for file in earlier.run.files if earlier else ():
        if file.format not in formats_given:
            sources.append(_again(file))
    if not sources:
        raise FileError("reconcile.no_file")
    return sources


def _again(file: FileRead) -> Source:
    path = Path(file.path)
    try:
        digest = digest_of(path)
    except OSError:
        digest = ""
    if digest != file.sha256:
        raise FileError("reconcile.file_wanted_again", where=path, side=file.side)
    return Source(path, formats.load(file.format))


def digest_of(path: Path) -> str:
    """SHA-256 of a file, as runs keep it."""
    digest = sha256()
    with path.open("rb") as opened:
        while chunk := opened.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


class _Desk:
    """What the ledger brings to a run: differences in play, rows carried from other days, the journal."""

    def __init__(
        self, connection: Connection, request: Request, by_side: Mapping[Side, tuple[Source, ...]], zone: ZoneInfo
    ) -> None:
        day = request.day
        self._connection = connection
        self._day = day
        self._since, self._until = shift(day, -AROUND_DAYS), shift(day, AROUND_DAYS)
        self._zone = zone
        covered = reconcile.covered(connection, since=self._since, until=self._until)
        self.terms = Terms(
            day=day,
            as_of_us=request.as_of_us,
            zone=zone,
            covered={**covered, day: covered.get(day, frozenset()) | by_side.keys()},
            cuts={
                side: tuple(Cut(one.format.zone, one.format.cutover, one.format.tolerance) for one in those)
                for side, those in by_side.items()
            },
            weekends=request.weekends,
        )
        in_play = reconcile.differences_in_play(connection, day, since=self._since, until=self._until)
        self._evidence = [entry for difference in in_play for entry in difference.evidence]
        self.known = Known(self._evidence)
        self._sides = by_side
        terminals: dict[str, str] = {}
        for source in (one for those in by_side.values() for one in those):
            terminals |= source.format.terminals
        # No day begins within a quarter of an hour anywhere: its name is computed once, not for each payment.
        quarter = cache(lambda number: day_of(number * _QUARTER_US, zone))
        self._naming = Naming(
            lambda us: quarter(us // _QUARTER_US), lambda agent, terminal: terminals.get(f"{agent}/{terminal}")
        )

    def stage_journal(self, staging: Staging, progress: Progress) -> None:
        """Payments of the day and the days beside it, refunds of the last weeks, and what differences are about."""
        progress.stage("journal")
        begin, end = (start_of(self._day, self._zone, add_days=days) for days in (-_NEAR_DAYS, 1 + _NEAR_DAYS))
        weeks = start_of(self._day, self._zone, add_days=-AROUND_DAYS)
        for count, entry in enumerate(self._payments(weeks, begin, end)):
            staging.add(entry, own=entry.day == self._day, known=entry in self.known)
            if count % 5000 == 0:
                progress.at(count)

    def _payments(self, weeks: int, begin: int, end: int) -> Iterator[Entry]:
        connection, naming = self._connection, self._naming
        yield from reconcile_payments.payments(connection, begin, end, naming)
        back = {
            entry.key: entry for entry in reconcile_payments.payments(connection, weeks, begin, naming, only_back=True)
        }
        yield from back.values()
        wanted = {
            entry.key
            for entry in self._evidence
            if entry.side is Side.JOURNAL and entry.key not in back and not begin <= (entry.time_us or 0) < end
        }
        yield from reconcile_payments.payments_by_id(connection, sorted(wanted), naming)

    def stage_carried(self, staging: Staging) -> None:
        """Rows that other days' files left without all their counterparts."""
        anew = [(self._day, side) for side in self._sides]
        for entry in reconcile.carried(self._connection, since=self._since, until=self._until, without=anew):
            staging.add(entry, own=False, known=entry in self.known)


def _stage_file(
    staging: Staging, source: Source, day: str, desk: _Desk, bad: list[BadRow], progress: Progress
) -> FileRead:
    try:
        progress.stage(source.format.side, source.path.stat().st_size)
    except OSError as error:
        raise FileError("reconcile.file_unreadable", where=source.path, why=error.strerror or error) from None
    file = StatementFile(source.path, source.format, day, progress.at)
    zone = source.format.zone
    near = start_of(day, zone, -_NEAR_DAYS), start_of(day, zone, 1 + _NEAR_DAYS)
    back = start_of(day, zone, -AROUND_DAYS), near[1]
    for row in file:
        if isinstance(row, BadRow):
            if len(bad) < _BAD_KEPT:
                bad.append(row)
            continue
        begin, end = back if row.kind.takes_back else near
        if row.time_us is not None and not begin <= row.time_us < end:
            file.other_days += 1
            continue
        staging.add(row, own=True, known=row in desk.known)
    read = file.read()
    if read.rows == 0 and read.bad:
        first = next(row for row in bad if row.file == read.name)
        raise FileError(
            "reconcile.file_all_bad", where=f"{source.path}:{first.line}", why=first.why, format=read.format
        )
    if read.rows and read.other_days == read.rows:
        raise FileError("reconcile.file_other_day", where=source.path, day=day)
    return read


def _keep(connection: Connection, request: Request, by_side: Mapping[Side, tuple[Source, ...]], found: Found) -> None:
    """Rows of the day's files that other days' runs may need: without all counterparts, or with one of another day."""
    for side in by_side:
        rows = {
            entry.key: entry
            for verdict in found.verdicts
            if not verdict.agrees or any(entry.day != request.day for entry in verdict.entries)
            for entry in verdict.entries
            if entry.side is side and entry.day == request.day
        }
        reconcile.keep_entries(connection, request.day, side, list(rows.values()))


def _drop_unproved(connection: Connection, request: Request, found: Found) -> None:
    """What a corrected file no longer proves is no finding any more."""
    proved = {verdict.proof.transaction for verdict in found.verdicts if verdict.proof}
    before = {finding.transaction for finding in reconcile.findings(connection, request.day)}
    reconcile.drop_findings(connection, before - proved)


def _mark(connection: Connection, request: Request, zone: ZoneInfo, found: Found, at_us: int) -> None:
    begin, end = start_of(request.day, zone), start_of(request.day, zone, 1)
    reconcile_payments.mark_agreed(connection, begin, end, at_us)
    reconcile_payments.mark(connection, categories_of(found.verdicts, request.day), at_us)


def _sides(read: list[FileRead]) -> list[str]:
    return sorted({file.side for file in read})


def _values(request: Request, zone: ZoneInfo, started_us: int, found: Found, read: list[FileRead]) -> dict[str, object]:
    return {
        "day": request.day,
        "zone": zone.key,
        "started_us": started_us,
        "ended_us": started_us,
        "as_of_us": request.as_of_us,
        "by": request.by,
        "closed": request.close,
        "counts": dict(sorted(found.counts.items())),
        "amounts": dict(sorted(found.amounts.items())),
        "files": [{name: getattr(file, name) for name in FileRead.__slots__} for file in read],
        "sides": {
            side: sum(file.rows - file.other_days for file in read if file.side == side) for side in _sides(read)
        },
        "settled": 0,
        "proved": 0,
    }
