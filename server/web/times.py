"""Moments, spans and amounts as a person reads them: in their zone and their language."""

from __future__ import annotations

import functools
from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from babel import Locale
from babel.core import get_global
from babel.dates import format_date, format_datetime, format_time, format_timedelta
from babel.numbers import format_decimal

_LOCALES = {"en": "en_GB", "fr": "fr_FR"}
_MINUTE_S, _HOUR_S = 60, 3600
_FILE_STEP = 1000.0
_UNITS = ("", "k", "M", "G", "T")


@functools.cache
def zones() -> tuple[str, ...]:
    """Those that people choose among: a region and a place, and UTC."""
    regions = ("Africa/", "America/", "Antarctica/", "Asia/", "Atlantic/", "Australia/", "Europe/", "Indian/")
    return (*sorted(z for z in available_timezones() if z.startswith((*regions, "Pacific/"))), "UTC")


def home_zone(country: str) -> str:
    """Where the company is. A country with several: the first that is listed."""
    known: Collection[str] = get_global("territory_zones").get(country, ())
    return next(iter(known), "UTC")


def is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


class Times:
    """Of one visit. Moments are aware datetimes, or texts as the operations give them (ISO 8601)."""

    def __init__(self, language: str, zone: str) -> None:
        self.zone = ZoneInfo(zone)
        self.locale = Locale.parse(_LOCALES[language])

    def here(self, at: datetime | str) -> datetime:
        read = datetime.fromisoformat(at) if isinstance(at, str) else at
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(self.zone)

    def machine(self, at: datetime | str) -> str:
        """For the attribute datetime of <time>."""
        return self.here(at).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def moment(self, at: datetime | str) -> str:
        """29 Nov 2026, 04:12"""
        here = self.here(at)
        return f"{format_date(here, 'medium', self.locale)}, {format_time(here, 'short', locale=self.locale)}"

    def exact(self, at: datetime | str) -> str:
        """With weekday, seconds and zone: what a moment shows when it is pointed at."""
        return format_datetime(self.here(at), "full", locale=self.locale)

    def day(self, on: date | datetime | str) -> str:
        """29 Nov 2026"""
        if isinstance(on, str):
            on = self.here(on) if "T" in on else date.fromisoformat(on)
        elif isinstance(on, datetime):
            on = self.here(on)
        return format_date(on, "medium", self.locale)

    def clock(self, at: datetime | str) -> str:
        """04:12"""
        return format_time(self.here(at), "short", locale=self.locale)

    def since(self, at: datetime | str, now: datetime) -> str:
        """3 minutes ago, in 2 days"""
        return format_timedelta(self.here(at) - now, add_direction=True, locale=self.locale)

    def lasted(self, seconds: float | None) -> str:
        """4:07, 1:02:33; nothing: a dash"""
        if seconds is None:
            return "–"
        whole = int(seconds)
        minutes, rest = divmod(whole, _MINUTE_S)
        if whole < _HOUR_S:
            return f"{minutes}:{rest:02}"
        return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"

    def span(self, seconds: float) -> str:
        """2 days, 5 minutes"""
        return format_timedelta(timedelta(seconds=seconds), threshold=1.2, locale=self.locale)

    def number(self, value: float, digits: int = 0) -> str:
        """12 345.6"""
        return format_decimal(round(value, digits) if digits else round(value), locale=self.locale)

    def size(self, octets: float) -> str:
        """1.2 GB, in steps of 1000"""
        steps = 0
        while octets >= _FILE_STEP and steps < len(_UNITS) - 1:
            octets, steps = octets / _FILE_STEP, steps + 1
        unit = _UNITS[steps] + ("o" if self.locale.language == "fr" else "B")
        return f"{self.number(octets, 0 if not steps or octets >= 100 else 1)} {unit}"
