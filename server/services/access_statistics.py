"""Who opened, exported, searched how often, week by week; what was refused; and whose week is unlike their others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import median

from server.access_figures import CATEGORIES, NO_RECORDING, WEEKS, begins, week_of
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.ledger import local_users
from storage import people

READ = ("opened", "exported", "clear")  # what shows somebody's words, number or name
TIMES, AT_LEAST, WEEKS_NEEDED = 3, 10, 4


@dataclass(frozen=True, slots=True)
class WeekView:
    """`week`: its Monday, UTC. Fields: see `server.commands.ledger.WEEK_FIELDS`."""

    week: str
    opened: int
    exported: int
    clear: int
    searched: int
    looked: int
    changed: int
    refused: int


@dataclass(frozen=True, slots=True)
class PersonView:
    """Fields: see `server.commands.ledger.PERSON_FIELDS`."""

    who: str
    opened: int
    exported: int
    clear: int
    searched: int
    looked: int
    changed: int
    refused: int
    weeks: tuple[int, ...]
    newest: int
    median: float
    unusual: bool


@dataclass(frozen=True, slots=True)
class PurposeView:
    """How often recordings of a purpose were opened and exported."""

    purpose: str
    opened: int
    exported: int


@dataclass(frozen=True, slots=True)
class RefusalView:
    """`right`: that was missing; empty where there was another cause, such as a wrong code, a limit, a damaged file."""

    right: str
    refused: int


@dataclass(frozen=True, slots=True)
class StatisticsView:
    """Fields: see `server.commands.ledger.STATISTICS_FIELDS`."""

    since: datetime
    whole: bool
    weeks: tuple[WeekView, ...]
    people: tuple[PersonView, ...]
    purposes: tuple[PurposeView, ...]
    refusals: tuple[RefusalView, ...]


async def statistics(services: Services, actor: Actor) -> StatisticsView:
    """Of the newest 13 weeks, or as long as the access log is kept. Where the daemon runs it reads the log by itself,
    and `whole` says whether it is through; without it all is read now. Raises StorageError."""
    figures = services.access_figures
    while await figures.read_on(services) and services.live is None:
        pass
    async with services.db.transaction() as tx:
        names = await people.logins(tx) | local_users(services)
        await note(services, tx, actor, "show", "ledger", count=0)
    by_week, first = figures.by_week(), begins(services)
    weeks = _weeks(first.date(), services.clock())
    counted = [_by_category(by_week.get(week, {})) for week in weeks]
    return StatisticsView(
        since=max(figures.since or first, first),
        whole=figures.whole,
        weeks=tuple(WeekView(week, **_sums(each)) for week, each in zip(weeks, counted, strict=True)),
        people=_people(by_week, weeks, names),
        purposes=_purposes(by_week),
        refusals=_refusals(by_week),
    )


def _weeks(first: date, now: datetime) -> list[str]:
    last = date.fromisoformat(week_of(now))
    return [(first + timedelta(weeks=one)).isoformat() for one in range(WEEKS) if first + timedelta(weeks=one) <= last]


def _by_category(week: Mapping[tuple[str, str, str], int]) -> Counter[str]:
    found: Counter[str] = Counter()
    for (_, category, _), count in week.items():
        found[category] += count
    return found


def _sums(counted: Mapping[str, int]) -> dict[str, int]:
    return {category: counted.get(category, 0) for category in CATEGORIES}


def _people(
    by_week: Mapping[str, Mapping[tuple[str, str, str], int]], weeks: Sequence[str], names: Mapping[str, str]
) -> tuple[PersonView, ...]:
    """Whoever has read most first."""
    sums: dict[str, Counter[str]] = {}
    reads: dict[str, Counter[str]] = {}
    for week in weeks:
        for (who, category, _), count in by_week.get(week, {}).items():
            sums.setdefault(who, Counter())[category] += count
            if category in READ:
                reads.setdefault(who, Counter())[week] += count
    found = [_person(names.get(who, who), counted, reads.get(who, {}), weeks) for who, counted in sums.items()]
    return tuple(sorted(found, key=lambda one: (not one.unusual, -sum(one.weeks), -one.refused, one.who)))


def _person(who: str, sums: Mapping[str, int], reads: Mapping[str, int], weeks: Sequence[str]) -> PersonView:
    counts = tuple(reads.get(week, 0) for week in weeks)
    usual, unusual = compared(counts)
    return PersonView(who, **_sums(sums), weeks=counts, newest=counts[-1] if counts else 0, median=usual,
                      unusual=unusual)  # fmt: skip


def compared(counts: Sequence[int]) -> tuple[float, bool]:
    """The median of the weeks before the newest, and whether the newest is unlike them: ten or more, and more than
    three times that. Weeks before somebody's first do not count; with fewer than four nothing is said."""
    before = list(counts[:-1])
    while before and not before[0]:
        before.pop(0)
    usual = float(median(before)) if before else 0.0
    newest = counts[-1] if counts else 0
    return usual, len(before) >= WEEKS_NEEDED and newest >= AT_LEAST and newest > TIMES * usual


def _purposes(by_week: Mapping[str, Mapping[tuple[str, str, str], int]]) -> tuple[PurposeView, ...]:
    found: dict[str, Counter[str]] = {}
    for week in by_week.values():
        for (_, category, purpose), count in week.items():
            if category in ("opened", "exported") and purpose != NO_RECORDING:
                found.setdefault(purpose, Counter())[category] += count
    return tuple(PurposeView(purpose, one["opened"], one["exported"]) for purpose, one in sorted(found.items()))


def _refusals(by_week: Mapping[str, Mapping[tuple[str, str, str], int]]) -> tuple[RefusalView, ...]:
    found: Counter[str] = Counter()
    for week in by_week.values():
        for (_, category, right), count in week.items():
            if category == "refused":
                found[right] += count
    return tuple(RefusalView(right, count) for right, count in found.most_common())
