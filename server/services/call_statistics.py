"""Statistics of calls: of groups that are large enough to name nobody. There are none by person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from config import metadata_ages
from config import packs as pack_data
from retention.ageing import peer
from retention.group_statistics import UNKNOWN, By, Counted, finished_weeks, statistics
from server.failure import Failure
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from storage import call_statistics, lines, trunks
from storage.call_statistics import Told

WEEK = timedelta(days=7)
DIRECT = "direct"


@dataclass(frozen=True, slots=True)
class GroupView:
    """Fields: see `server.commands.call_reports.GROUPS`."""

    group: str
    calls: int


async def stats(
    services: Services, actor: Actor, *, by: By, since: date | None = None, until: date | None = None
) -> list[GroupView]:
    """Of the finished weeks that lie between the two days, both counted. Raises Failure."""
    if since is not None and until is not None and until < since:
        raise Failure(f"{until} lies before {since}", "Give the earlier day with --from", "invalid")
    now, ages, packs = services.clock(), metadata_ages.load(), pack_data.load()
    weeks = {
        class_: [
            monday
            for monday in finished_weeks(class_, ages, packs, now, by)
            if (since is None or monday >= since) and (until is None or monday + WEEK - timedelta(days=1) <= until)
        ]
        for class_ in ages.classes
    }
    mondays = [monday for found in weeks.values() for monday in found]
    calls = await _calls(services, min(mondays), max(mondays) + WEEK) if mondays else []
    groups = statistics(calls, by, weeks, services.settings.retention.min_group)
    async with services.db.transaction() as tx:
        names = {line.id: line.name for line in await lines.list_all(tx)}
        names |= {trunk.id: trunk.name for trunk in await trunks.list_all(tx)}
        await note(services, tx, actor, "list", "report", count=len(groups))
    return [GroupView(names.get(group.name, group.name), group.calls) for group in groups]


async def _calls(services: Services, first: date, end: date) -> list[Counted]:
    found, after = list[Counted](), ""
    while True:
        async with services.db.read() as tx:  # a short one each: a long one holds up whoever deletes
            told = await call_statistics.page(tx, _midnight(first), _midnight(end), after)
        if not told:
            return found
        after = told[-1].call_id
        found += [_counted(one) for one in told]


def _counted(told: Told) -> Counted:
    outbound = told.fields.get("direction") == "outbound"
    inside, outside = ("caller", "callee") if outbound else ("callee", "caller")
    return Counted(
        call_id=told.call_id,
        metadata_class=told.metadata_class,
        at=told.at,
        groups=_groups(told),
        inside=told.parties.get(inside, ""),
        outside=told.parties.get(outside, ""),
    )


def _groups(told: Told) -> Mapping[str, str]:
    hour = str(told.fields.get("start_hour", "")).rstrip("Z")[-2:]
    return {
        "day": told.at.astimezone(UTC).date().isoformat(),
        "hour": hour or (f"{told.at.astimezone(UTC).hour:02}" if "start" in told.fields else UNKNOWN),
        "direction": str(told.fields.get("direction", UNKNOWN)),
        "country": peer(told.fields, told.numbers),
        "line": str(told.fields.get("line_id") or told.fields.get("line_pseudonym") or DIRECT),
        "trunk": str(told.fields.get("trunk", "none")),
    }


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
