"""How many of something fall on each of the coming days (UTC): counted by the database, along its indexes, in one
statement for however many kinds and days."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any

from sqlalchemy import CTE, BigInteger, Column, ColumnElement, case, func, literal, select, true, type_coerce, union_all

from storage.tx import Tx
from storage.types import Instant

_DAY_US = timedelta(days=1) // timedelta(microseconds=1)
_LONG_AGO = -(2**62)  # before every moment that a column holds, in microseconds


@dataclass(frozen=True, slots=True)
class Dated:
    """`at`: the column that says when. `standing`: what has to hold besides."""

    at: Column[Any]
    standing: ColumnElement[bool] = field(default_factory=true)


async def by_day(tx: Tx, kinds: Mapping[str, Dated], now: datetime, days: int) -> dict[str, dict[str, int]]:
    """Day ("2026-11-29") -> kind -> how many, without noughts. What is past counts for today; the last day counts as
    far as the clock has come today."""
    spans = _spans(now, days)
    each = [
        select(
            literal(kind).label("kind"),
            spans.c.n,
            select(func.count())
            .select_from(one.at.table)
            .where(one.at >= spans.c.starts, one.at < spans.c.ends, one.standing)
            .scalar_subquery()
            .label("count"),
        )
        for kind, one in kinds.items()
    ]
    counted = union_all(*each).subquery()
    rows = await tx.tuples(select(counted).where(counted.c.count > 0).order_by(counted.c.n))
    found: dict[str, dict[str, int]] = {}
    today = now.astimezone(UTC).date()
    for kind, n, count in rows:
        found.setdefault((today + timedelta(days=n)).isoformat(), {})[kind] = count
    return found


def _spans(now: datetime, days: int) -> CTE:
    """The number of each day, and from when until when (excluded) it counts, in microseconds."""
    today = datetime.combine(now.astimezone(UTC).date(), time(), UTC)
    end = literal(now + timedelta(days=days, microseconds=1), Instant)
    first = [literal(0, BigInteger).label("n"), literal(_LONG_AGO, BigInteger).label("starts")]
    midnight = literal(today + timedelta(days=1), Instant)
    spans = select(*first, case((midnight < end, midnight), else_=end).label("ends")).cte("spans", recursive=True)
    following = type_coerce(spans.c.ends, BigInteger) + _DAY_US
    another = select(spans.c.n + 1, spans.c.ends, case((following < end, following), else_=end))
    return spans.union_all(another.where(spans.c.n < days))
