"""Destructions that are under way, and what each sweep came to. Opaque ids, counts and times only."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime

from sqlalchemy import delete, insert, select, update

from storage import ledger, tables
from storage.ids import new_id
from storage.tx import Tx

_UNDER_WAY, _T = tables.destructions, tables.sweeps


@dataclass(frozen=True, slots=True)
class UnderWay:
    """Was to be destroyed; whether anything of it is gone already nobody knows. `items`: (id, pack, created, expires),
    times in RFC 3339."""

    id: str
    kind: str
    items: tuple[tuple[str, str, str, str], ...]
    begun_at: datetime


@dataclass(frozen=True, slots=True)
class Sweep:
    """Counts by kind. `problem`: why it did nothing or less than it should; "" where all is well."""

    began_at: datetime
    ended_at: datetime
    due: Mapping[str, int] = field(default_factory=dict)
    destroyed: Mapping[str, int] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)
    left: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""


async def begin(tx: Tx, kind: str, items: Sequence[tuple[str, str, str, str]], now: datetime) -> str:
    """Commit it before the first byte goes. The id."""
    under_way_id = new_id()
    await tx.write(insert(_UNDER_WAY).values(id=under_way_id, kind=kind, items=list(items), begun_at=now))
    return under_way_id


async def narrow(tx: Tx, under_way_id: str, items: Sequence[tuple[str, str, str, str]]) -> None:
    """Only these are still to be done."""
    await tx.write(update(_UNDER_WAY).where(_UNDER_WAY.c.id == under_way_id).values(items=list(items)))


async def done(tx: Tx, under_way_id: str) -> None:
    """In the transaction that keeps the receipts."""
    await tx.write(delete(_UNDER_WAY).where(_UNDER_WAY.c.id == under_way_id))


async def under_way(tx: Tx) -> tuple[UnderWay, ...]:
    """Oldest first."""
    rows = await tx.rows(select(_UNDER_WAY).order_by(_UNDER_WAY.c.begun_at, _UNDER_WAY.c.id))
    return tuple(
        UnderWay(row["id"], row["kind"], tuple((a, b, c, d) for a, b, c, d in row["items"]), row["begun_at"])
        for row in rows
    )


async def add(tx: Tx, sweep: Sweep) -> None:
    await tx.write(insert(_T).values(id=new_id(), **asdict(sweep)))


async def newest(tx: Tx, *, limit: int = 1) -> tuple[Sweep, ...]:
    """Newest first."""
    rows = await tx.rows(select(_T).order_by(_T.c.ended_at.desc(), _T.c.id).limit(limit))
    return tuple(Sweep(**{name: row[name] for name in Sweep.__slots__}) for row in rows)


async def newest_entry(tx: Tx) -> datetime | None:
    """When the newest entry of the ledger was written: what the clock said last, where nothing was swept yet."""
    found: list[datetime] = []
    for log in ledger.LOGS:
        wanted = select(tables.ledger_entries.c.body).where(tables.ledger_entries.c.log == log)
        row = await tx.row(wanted.order_by(tables.ledger_entries.c.seq.desc()).limit(1))
        if row is not None:
            found.append(datetime.fromisoformat(json.loads(row["body"])["at"]))
    return max(found, default=None)


async def forget_before(tx: Tx, moment: datetime) -> None:
    """They are about nobody; there is no use in keeping them for ever."""
    await tx.write(delete(_T).where(_T.c.ended_at < moment))
