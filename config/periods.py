"""Calendar periods as policies write them: ISO 8601 durations such as P6M, P30D, P2Y, PT72H."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

_ISO = re.compile(r"P(?!$)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")


@dataclass(frozen=True, slots=True)
class Period:
    """Months and days are calendar units: six months after 31 August end on the last day of February."""

    months: int = 0
    days: int = 0
    seconds: int = 0

    @classmethod
    def parse(cls, text: str) -> Period:
        """Read an ISO 8601 duration (no fractions, no sign). Raises ValueError."""
        found = _ISO.fullmatch(text)
        if not found:
            raise ValueError(f"{text!r} is not an ISO 8601 duration such as P6M or P30D")
        years, months, weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return cls(years * 12 + months, weeks * 7 + days, hours * 3600 + minutes * 60 + seconds)

    def after(self, when: datetime) -> datetime:
        """The moment this long after `when` (aware, any zone; the zone is kept)."""
        year, month0 = divmod(when.year * 12 + when.month - 1 + self.months, 12)
        day = min(when.day, calendar.monthrange(year, month0 + 1)[1])
        moved = when.replace(year=year, month=month0 + 1, day=day)
        return moved + timedelta(days=self.days, seconds=self.seconds)

    def ago(self, when: datetime) -> datetime:
        """The latest moment, to the day, that lies at least this long before `when`: what was before it is over."""
        year, month0 = divmod(when.year * 12 + when.month - 1 - self.months, 12)
        day = min(when.day, calendar.monthrange(year, month0 + 1)[1])
        moved = when.replace(year=year, month=month0 + 1, day=day) - timedelta(days=self.days, seconds=self.seconds)
        while self.after(moved) > when:
            moved -= timedelta(days=1)
        return moved

    def at_least_as_long_as(self, other: Period) -> bool:
        """Compared over the longest months, so that a doubtful case counts as shorter."""
        return self._span(28) >= other._span(28) and self._span(31) >= other._span(31)

    def _span(self, days_per_month: int) -> int:
        return (self.months * days_per_month + self.days) * 86400 + self.seconds

    def __str__(self) -> str:
        if self == Period():
            return "P0D"
        years, months = divmod(self.months, 12)
        hours, rest = divmod(self.seconds, 3600)
        minutes, seconds = divmod(rest, 60)
        date = _units((years, "Y"), (months, "M"), (self.days, "D"))
        time = _units((hours, "H"), (minutes, "M"), (seconds, "S"))
        return f"P{date}" + (f"T{time}" if time else "")


def _units(*parts: tuple[int, str]) -> str:
    return "".join(f"{count}{unit}" for count, unit in parts if count)
