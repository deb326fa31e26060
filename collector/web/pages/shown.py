"""How values look to people: amounts, times, ages, durations, in the reader's language and the site's time zone.

Pure: the time comes in. Templates use it as `show`.
"""

from __future__ import annotations

from calendar import timegm
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from agent.money import DIGITS
from collector.texts import Texts

_S = 1_000_000
_MARKS = {"CNY": "¥", "EUR": "€", "USD": "$", "GBP": "£"}
#: ages by colour: below the first nobody worries, above the second somebody should already be at it
WORRY_S = 120
ALARM_S = 900


@dataclass(frozen=True, slots=True)
class Shown:
    """Formats for one answer. `zone` None: that of this machine. `now_us`: the time that ages are counted to."""

    texts: Texts
    zone: tzinfo | None
    now_us: int

    def money(self, amount: int | None, currency: str | None) -> str:
        """`¥1,280.50`; a dash where the amount is not known."""
        if amount is None:
            return "–"
        digits = DIGITS.get(currency or "", 2)
        whole, rest = divmod(abs(amount), 10**digits)
        number = f"{whole:,}" + (f".{rest:0{digits}d}" if digits else "")
        mark = _MARKS.get(currency or "")
        text = f"{mark}{number}" if mark else f"{number} {currency or ''}".rstrip()
        return f"−{text}" if amount < 0 else text

    def local(self, us: int) -> datetime:
        """The ledger's time on the clock of the wall."""
        return datetime.fromtimestamp(us // _S, self.zone).replace(microsecond=us % _S)

    def axis(self, us: int) -> int:
        """The time as charts count it: seconds of the local clock, as if it were UTC."""
        return timegm(self.local(us).timetuple())

    def clock(self, us: int | None) -> str:
        """`14:03:22` today, else with the day before it."""
        if us is None:
            return "–"
        moment, today = self.local(us), self.local(self.now_us)
        if moment.date() == today.date():
            return f"{moment:%H:%M:%S}"
        return f"{moment:%m-%d %H:%M}" if moment.year == today.year else f"{moment:%Y-%m-%d %H:%M}"

    def moment(self, us: int | None) -> str:
        """Day and time in full."""
        return "–" if us is None else f"{self.local(us):%Y-%m-%d %H:%M:%S}"

    def minute(self, us: int | None) -> str:
        """Day and time to the minute."""
        return "–" if us is None else f"{self.local(us):%Y-%m-%d %H:%M}"

    def iso(self, us: int) -> str:
        """For the `datetime` of a <time>."""
        return self.local(us).isoformat(timespec="seconds")

    def told(self, text: str | None) -> str:
        """A time that an event states (RFC 3339), in full; as it stands when it is none."""
        try:
            return self.moment(us_of(text or ""))
        except ValueError:
            return text or "–"

    def age(self, us: int | None) -> str:
        """How long ago, in one or two units: `4 min`, `2 h 05 min`, `3 d`."""
        return "–" if us is None else self.lasted(max(0, self.now_us - us))

    def until(self, us: int | None) -> str:
        """How far away a time to come is; how long ago, when it has passed."""
        if us is None:
            return "–"
        key = "page.in_time" if us >= self.now_us else "page.late_by"
        return self.texts.say(key, lasted=self.lasted(abs(us - self.now_us)))

    def ago(self, us: int | None) -> str:
        """`4 min ago`."""
        return self.texts.say("page.never") if us is None else self.texts.say("page.ago", age=self.age(us))

    def lasted(self, us: int | None) -> str:
        """A span of time."""
        if us is None:
            return "–"
        seconds = us / _S
        say = self.texts.say
        if seconds < 10:
            return say("page.span_s", n=f"{seconds:.1f}")
        if seconds < 120:
            return say("page.span_s", n=int(seconds))
        minutes = int(seconds // 60)
        if minutes < 60:
            return say("page.span_min", n=minutes)
        hours, minutes = divmod(minutes, 60)
        if hours < 24:
            return say("page.span_h_min", h=hours, n=f"{minutes:02d}")
        days, hours = divmod(hours, 24)
        return say("page.span_d_h", d=days, h=hours) if days < 4 else say("page.span_d", n=days)

    def worry(self, us: int | None) -> str:
        """The colour of an age: fresh, warm, hot."""
        seconds = 0 if us is None else (self.now_us - us) / _S
        return "fresh" if seconds < WORRY_S else "warm" if seconds < ALARM_S else "hot"

    def midnight_us(self) -> int:
        """When the present day began here."""
        return _us(self.local(self.now_us).replace(hour=0, minute=0, second=0, microsecond=0))

    def day_us(self, day: str) -> tuple[int, int]:
        """Begin and end of a day `YYYY-MM-DD` here. Raises ValueError when it is none."""
        begin = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=self.zone)
        return _us(begin), _us((begin + timedelta(days=1)).replace(hour=0))

    def local_us(self, text: str) -> int | None:
        """A time as an <input type="datetime-local"> gives it; None for an empty one. Raises ValueError."""
        return _us(datetime.fromisoformat(text).replace(tzinfo=self.zone)) if text.strip() else None

    def field(self, us: int | None) -> str:
        """The value of an <input type="datetime-local">."""
        return "" if us is None else f"{self.local(us):%Y-%m-%dT%H:%M}"


def us_of(text: str) -> int:
    """An event's time in microseconds. Raises ValueError."""
    return _us(datetime.fromisoformat(text))


def _us(moment: datetime) -> int:
    return round(moment.timestamp() * _S)
