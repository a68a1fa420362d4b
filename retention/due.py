"""What is due for deletion now, and why something else is not. Pure: items, holds and a moment in, explained plans out.

Nothing here depends on the dates of files, and nothing means "all": what is not named among the items is not touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from config.packs import Pack
from config.periods import Period
from retention.gate import Hold, Item, Plan, Trigger, plan_destruction

_ZERO = datetime(1970, 1, 2, tzinfo=UTC)  # what a column that nobody filled may hold


def due(
    items: Iterable[Item], holds: Mapping[str, Sequence[Hold]], packs: Mapping[str, Pack], now: datetime
) -> list[Plan]:
    """One plan for each item, in order. ``holds``: by item id. ``packs``: for minimum periods, by id."""
    return [_plan(item, holds.get(item.item_id, ()), packs, now) for item in items]


def _plan(item: Item, holds: Sequence[Hold], packs: Mapping[str, Pack], now: datetime) -> Plan:
    if item.expires_at <= _ZERO:
        rule = "its expiry is zero, which is no moment: nothing is deleted by it"
        return Plan(item, Trigger.RETENTION_EXPIRY, False, rule)
    return plan_destruction(item, Trigger.RETENTION_EXPIRY, holds, minimum_until(item, packs), now)


def minimum_until(item: Item, packs: Mapping[str, Pack]) -> datetime | None:
    """Until when the law forbids to delete it; None where there is no such duty.

    A minimum that runs from a later event (a contract signed, R112-7 C. assur.) does not run before it: until then the
    provisional period counts alone. What somebody has objected to has none: with the objection it would have gone.
    """
    pack = packs.get(item.pack.partition("@")[0])
    if pack is None or pack.minimum is None or item.objected:
        return None
    if pack.provisional is not None:
        return pack.minimum.after(item.event_at) if item.event_at is not None else None
    return pack.minimum.after(item.created_at)


def shortened(began: datetime, announced: datetime, period: Period, minimum: Period | None) -> datetime:
    """When something that is kept already goes, now that a policy says ``period``: earlier than was announced, never
    later, and not before the law allows. ``began``: from when the period runs."""
    earliest = max(period.after(began), minimum.after(began)) if minimum is not None else period.after(began)
    return min(announced, earliest)


def by_day(items: Iterable[Item], now: datetime, days: int) -> dict[str, Counter[str]]:
    """What expires on which of the coming days (UTC): day -> kind -> how many. What is overdue counts for today."""
    last = (now + timedelta(days=days)).date()
    found: dict[str, Counter[str]] = {}
    for item in items:
        day = max(item.expires_at, now).date()
        if day <= last:
            found.setdefault(day.isoformat(), Counter())[item.kind] += 1
    return dict(sorted(found.items()))
