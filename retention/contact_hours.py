"""Hours in which the law lets people be contacted: in every time zone that they may be in. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from config import public_holidays
from config.contact_kinds import Hours, Slot
from retention.whereabouts import Whereabouts

HORIZON_DAYS = 60  # longer than any run of holidays
_DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_Span = tuple[datetime, datetime]


def closed_because(rule: Hours, where: Whereabouts, at: datetime) -> str:
    """Why the hour is not allowed; empty where it is."""
    if not where.zones:
        return "the number does not tell its time zone"
    if not rule.holidays and not where.holidays:
        return "nobody knows the public holidays there"
    for zone in where.zones:
        there = at.astimezone(ZoneInfo(zone))
        said = f"it is {_DAY_NAMES[there.weekday()]} {there:%H:%M} in {zone}"
        name = None if rule.holidays else public_holidays.name_of(where.holidays, there.date())
        if name is not None:
            return f"{said}, a public holiday ({name})"
        if not rule.week[there.weekday()]:
            return said
        clock, slots = there.time().replace(tzinfo=None), rule.week[there.weekday()]
        if not any(begin <= clock < end for begin, end in slots):
            return f"{said}; allowed are {said_slots(slots)}"
    return ""


def next_opening(rule: Hours, where: Whereabouts, after: datetime) -> datetime | None:
    """The first moment later than `after` that is allowed and was not, or is allowed still; None where there is none
    within two months, or nobody knows."""
    if not where.zones or (not rule.holidays and not where.holidays):
        return None
    first = after.astimezone(UTC).date() - timedelta(days=1)
    ordered = _farthest_first(where.zones, after)
    for number in range(HORIZON_DAYS):
        day = first + timedelta(days=number)
        for begin, end in _everywhere(rule, where, ordered, day):
            if end > after:
                return max(begin, after)
    return None


def said_slots(slots: Sequence[Slot]) -> str:
    """`10:00-13:00, 14:00-20:00`."""
    return ", ".join(f"{begin:%H:%M}-{end:%H:%M}" for begin, end in slots)


def narrowed(rule: Hours, other: Hours) -> Hours:
    """`rule`, with only what `other` allows too."""
    week = tuple(
        tuple(sorted((max(a, c), min(b, d)) for a, b in ours for c, d in theirs if max(a, c) < min(b, d)))
        for ours, theirs in zip(rule.week, other.week, strict=True)
    )
    return replace(rule, week=week, holidays=rule.holidays and other.holidays)


def _everywhere(rule: Hours, where: Whereabouts, zones: Sequence[str], day: date) -> list[_Span]:
    """What is allowed in all zones, of spans that begin on `day` in the first one."""
    first, *others = zones
    common = list(_allowed(rule, where, first, day))
    for zone in others:
        if not common:
            return []
        days = (day + timedelta(days=shift) for shift in (-1, 0, 1))
        theirs = [span for near in days for span in _allowed(rule, where, zone, near)]
        common = [(max(a, c), min(b, d)) for a, b in common for c, d in theirs if max(a, c) < min(b, d)]
    return sorted(common)


def _farthest_first(zones: Sequence[str], at: datetime) -> list[str]:
    """The one farthest west, then those that differ from it most: they decide soonest that no hour suits all."""
    from_west = sorted(zones, key=lambda zone: at.astimezone(ZoneInfo(zone)).utcoffset() or timedelta())
    return [from_west[0], *reversed(from_west[1:])]


def _allowed(rule: Hours, where: Whereabouts, zone: str, day: date) -> Iterator[_Span]:
    slots = rule.week[day.weekday()]
    if not slots:
        return
    if not rule.holidays and public_holidays.name_of(where.holidays, day) is not None:
        return
    here = ZoneInfo(zone)
    for begin, end in slots:
        yield (
            datetime.combine(day, begin, here).astimezone(UTC),
            datetime.combine(day, end, here).astimezone(UTC),
        )
