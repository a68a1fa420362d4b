"""Counts of calls that name nobody: no group below a minimum size, in the answer or by any subtraction. Pure.

What may be told is cut into pieces that never change once they can be asked for: one finished week (ISO, UTC) of one
metadata class. A piece shows groups of at least the minimum; smaller ones, and where those together are too few the
next smallest with them, are one group "others". So whatever is added up or taken away, of any answers ever given, is
made of whole groups that were large enough. A piece that is too small as a whole is not shown at all.

The size of a group is the smaller of its persons on this side and on the other, as far as its records still tell them
apart; a call that tells nobody counts as a person of its own (class minimal). Statistics by person do not exist here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

from config.metadata_ages import MetadataAges
from config.packs import Pack

By = Literal["day", "hour", "direction", "country", "line", "trunk"]
OTHERS = "others"
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Counted:
    """A call as far as it is counted. `groups`: by dimension. `inside`, `outside`: keyed hashes of who is on either
    side, where the record still tells; else empty."""

    call_id: str
    metadata_class: str
    at: datetime
    groups: Mapping[str, str]
    inside: str = ""
    outside: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """`calls` are at least as many as the minimum."""

    name: str
    calls: int


def finished_weeks(
    metadata_class: str, ages: MetadataAges, packs: Mapping[str, Pack], now: datetime, by: By
) -> list[date]:
    """Mondays of the weeks of which everything is still there to be counted, the oldest first: over, and no record of
    them has expired or aged so that the answer would change."""
    about = ages.classes[metadata_class]
    until = packs[about.pack].retention
    assert until is not None
    limits = [until]
    if by == "hour":
        limits += [stage.since for stage in about.fields["start"] if stage.form == "day"]
    limits += [stage.since for stage in about.fields["number"][1:] if stage.form in ("prefix", "gone")]
    weeks = []
    monday = now.astimezone(UTC).date() - timedelta(days=now.astimezone(UTC).weekday() + 7)
    while all(limit.after(_midnight(monday)) > now for limit in limits):
        weeks.append(monday)
        monday -= timedelta(days=7)
    return weeks[::-1]


def statistics(calls: Iterable[Counted], by: By, weeks: Mapping[str, Sequence[date]], minimum: int) -> list[Group]:
    """Of the weeks of each class. The largest group first, others last; empty where nothing is large enough."""
    wanted = {(class_, monday): list[Counted]() for class_, mondays in weeks.items() for monday in mondays}
    for call in calls:
        piece = wanted.get((call.metadata_class, monday_of(call.at)))
        if piece is not None:
            piece.append(call)
    sums: dict[str, int] = {}
    for piece in wanted.values():
        for name, count in _shown(piece, by, minimum).items():
            sums[name] = sums.get(name, 0) + count
    return [Group(name, sums[name]) for name in sorted(sums, key=lambda name: (name == OTHERS, -sums[name], name))]


def monday_of(at: datetime) -> date:
    """Of the week in which it was, UTC."""
    day = at.astimezone(UTC).date()
    return day - timedelta(days=day.weekday())


def size(calls: Sequence[Counted]) -> int:
    """Of how many persons a group speaks, on the side where there are fewer."""
    return (
        min(len({getattr(call, side) or call.call_id for call in calls}) for side in ("inside", "outside"))
        if calls
        else 0
    )


def _shown(piece: Sequence[Counted], by: By, minimum: int) -> dict[str, int]:
    """The groups of one piece that may be told; they add up to all of it, or there are none."""
    groups: dict[str, list[Counted]] = {}
    for call in piece:
        groups.setdefault(call.groups.get(by) or UNKNOWN, []).append(call)
    large = {name: calls for name, calls in groups.items() if size(calls) >= minimum}
    rest = [call for name, calls in groups.items() if name not in large for call in calls]
    # Names break ties, so that one piece is always cut in the same way.
    for name in sorted(large, key=lambda name: (len(large[name]), name)):
        if not rest or size(rest) >= minimum:
            break
        rest += large.pop(name)
    if rest and size(rest) < minimum:
        return {}
    return {name: len(calls) for name, calls in large.items()} | ({OTHERS: len(rest)} if rest else {})


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
