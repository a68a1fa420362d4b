"""Destructions that are under way, and what each sweep came to. Opaque ids, counts and times only."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime

from sqlalchemy import RowMapping, delete, insert, select, update

from storage import ledger, tables
from storage.ids import new_id
from storage.tx import Tx

_UNDER_WAY, _T = tables.destructions, tables.sweeps


@dataclass(frozen=True, slots=True)
class Order:
    """Somebody wants it destroyed. `trigger`: why (`retention.gate.Trigger`); `ordered_by`: what the ledger calls them;
    `request_ref`: the entry of the access log that it rests on; `kept`: kinds of things that stay for reasons of their
    own, as the receipt says it."""

    trigger: str
    ordered_by: str
    request_ref: str
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UnderWay:
    """Was to be destroyed; whether anything of it is gone already nobody knows. `items`: (id, pack, created, expires),
    times in RFC 3339. `order` None: it had expired."""

    id: str
    kind: str
    items: tuple[tuple[str, str, str, str], ...]
    begun_at: datetime
    order: Order | None = None


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


async def begin(
    tx: Tx, kind: str, items: Sequence[tuple[str, str, str, str]], now: datetime, order: Order | None = None
) -> str:
    """Commit it before the first byte goes. The id."""
    under_way_id = new_id()
    said = {**asdict(order), "kept": list(order.kept)} if order is not None else {}
    await tx.write(insert(_UNDER_WAY).values(id=under_way_id, kind=kind, items=list(items), begun_at=now, **said))
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
    return tuple(_under_way(row) for row in rows)


async def locked(tx: Tx, under_way_id: str) -> UnderWay | None:
    """Nobody else narrows it until this transaction ends. None: it is done."""
    row = await tx.row(select(_UNDER_WAY).where(_UNDER_WAY.c.id == under_way_id).with_for_update())
    return _under_way(row) if row is not None else None


def _under_way(row: RowMapping) -> UnderWay:
    order = None
    if row["trigger"] is not None:
        kept = tuple(row["kept"] or ())
        order = Order(row["trigger"], row["ordered_by"] or "system", row["request_ref"] or "", kept)
    items = tuple((a, b, c, d) for a, b, c, d in row["items"])
    return UnderWay(row["id"], row["kind"], items, row["begun_at"], order)


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
