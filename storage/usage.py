"""What an owner's calls have come to: sums by day, of which limits are reckoned. No call and no number."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import delete, func, select, text

from storage import tables
from storage.errors import Invalid
from storage.ids import require
from storage.limits import OWNER
from storage.tx import Tx

_T = tables.usage
# The same words on SQLite and PostgreSQL; one statement, so that two nodes cannot both insert.
_ADD = text(
    "INSERT INTO usage (owner, day, seconds, cost_microeuros, calls) "
    "VALUES (:owner, :day, :seconds, :cost_microeuros, :calls) "
    "ON CONFLICT (owner, day) DO UPDATE SET seconds = usage.seconds + excluded.seconds, "
    "cost_microeuros = usage.cost_microeuros + excluded.cost_microeuros, calls = usage.calls + excluded.calls"
)


@dataclass(frozen=True, slots=True)
class Usage:
    seconds: int = 0
    cost_microeuros: int = 0
    calls: int = 0


async def add(tx: Tx, owner: str, day: date, seconds: int, cost_microeuros: int, *, calls: int = 1) -> None:
    """`owner`: see `storage.limits`. `calls=0` where a call is written in pieces. Raises `Invalid`."""
    require("owner", owner, OWNER)
    if min(seconds, cost_microeuros, calls) < 0:
        raise Invalid("usage", "is negative")
    await tx.write(
        _ADD.bindparams(owner=owner, day=day.isoformat(), seconds=seconds, cost_microeuros=cost_microeuros, calls=calls)
    )


async def of_day(tx: Tx, owner: str, day: date) -> Usage:
    return await _sum(tx, owner, _T.c.day == day.isoformat())


async def of_month(tx: Tx, owner: str, day: date) -> Usage:
    """Of the calendar month that `day` lies in."""
    return await _sum(tx, owner, _T.c.day.like(f"{day.isoformat()[:7]}-%"))


async def remove(tx: Tx, owner: str) -> None:
    await tx.write(delete(_T).where(_T.c.owner == owner))


async def remove_before(tx: Tx, day: date) -> int:
    """Sums of the days before; how many rows."""
    return await tx.write(delete(_T).where(_T.c.day < day.isoformat()))


async def _sum(tx: Tx, owner: str, when: Any) -> Usage:
    row = await tx.row(
        select(
            func.sum(_T.c.seconds).label("seconds"),
            func.sum(_T.c.cost_microeuros).label("cost_microeuros"),
            func.sum(_T.c.calls).label("calls"),
        ).where(_T.c.owner == owner, when)
    )
    return Usage(**{name: int(value or 0) for name, value in (row or {}).items()})
