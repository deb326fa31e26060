"""Business days, cut-over times, and when a file that may hold a row has come. Pure; days are texts, YYYY-MM-DD."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from zoneinfo import ZoneInfo

from collector.ledger.entries import Entry, Side

#: the file of a day has come by this time of the day after
ARRIVAL = time(12, 0)
#: a refund is in one of the files of so many working days
REFUND_WORKING_DAYS = 7


class Expect(Enum):
    """Whether a row ought to be there."""

    NOW = "now"  # every file that may hold it has been read
    LATER = "later"  # a file to come may hold it
    NOT_ASKED = "not asked"  # no file of that side was given for its day


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a side's day begins: `start` from midnight (negative: the evening before), and how exactly it is kept."""

    zone: ZoneInfo
    start: timedelta = timedelta(0)
    tolerance: timedelta = timedelta(minutes=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What judging needs beside the entries. `covered`: day → sides whose file of that day has been read."""

    day: str
    as_of_us: int
    zone: ZoneInfo
    covered: Mapping[str, frozenset[str]]
    cuts: Mapping[Side, tuple[Cut, ...]] = field(default_factory=dict)  # one for each file of the side
    weekends: bool = False  # whether files of acquirers also come on Saturdays and Sundays

    def expects(self, side: Side, sample: Entry, group_day: str) -> tuple[Expect, int | None]:
        """Whether that side's row of this payment ought to be there; with LATER, by when."""
        days = self._days(side, sample)
        missing = [day for day in days if side not in self.covered.get(day, ())]
        if not missing:
            return Expect.NOW, None
        used = side in self.covered.get(group_day, ()) or len(missing) < len(days)
        if not used:
            return Expect.NOT_ASKED, None
        due = self._arrives(side, missing[-1])
        # What may still come is awaited until its file is due; a file that never came proves nothing either way.
        over = self.as_of_us >= due and days[0] not in missing
        return (Expect.NOW, None) if over else (Expect.LATER, due)

    def _days(self, side: Side, sample: Entry) -> list[str]:
        """The days whose file may hold the row, the likeliest first."""
        if sample.time_us is None:
            return [sample.day]
        days: list[date] = []
        for cut in self._cuts(side):
            shifted = datetime.fromtimestamp(sample.time_us / 1e6, cut.zone).replace(tzinfo=None) - cut.start
            days += [shifted.date(), (shifted - cut.tolerance).date(), (shifted + cut.tolerance).date()]
        main = days[0]
        days = [main, *sorted(set(days) - {main})]
        if sample.kind.takes_back and side is Side.ACQUIRER:
            last = main
            for _ in range(REFUND_WORKING_DAYS):
                last = working_day(last + timedelta(days=1))
            days += [
                main + timedelta(days=n) for n in range(1, (last - main).days + 1) if main + timedelta(n) not in days
            ]
        return [day.isoformat() for day in days]

    def _cuts(self, side: Side) -> tuple[Cut, ...]:
        return self.cuts.get(side, (Cut(self.zone),))

    def _arrives(self, side: Side, day: str) -> int:
        after = date.fromisoformat(day) + timedelta(days=1)
        if side is Side.ACQUIRER and not self.weekends:
            after = working_day(after)
        return int(datetime.combine(after, ARRIVAL, self._cuts(side)[0].zone).astimezone(UTC).timestamp()) * 1_000_000


def working_day(day: date) -> date:
    """The day, or the next Monday. Public holidays are not known: a file that comes later is waited for anyway."""
    return day + timedelta(days=max(0, 7 - day.weekday())) if day.weekday() >= 5 else day


def day_of(time_us: int, zone: ZoneInfo) -> str:
    """The calendar day of a moment in the zone."""
    return datetime.fromtimestamp(time_us / 1e6, zone).date().isoformat()


def start_of(day: str, zone: ZoneInfo, add_days: int = 0) -> int:
    """Microseconds UTC at which the day begins in the zone."""
    begin = datetime.combine(date.fromisoformat(day) + timedelta(days=add_days), time(0), zone)
    return int(begin.astimezone(UTC).timestamp()) * 1_000_000


def shift(day: str, days: int) -> str:
    """The day so many days later."""
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()
