"""What a look for orphans found, and how each look went.

Where an orphan is may name somebody (a file that was called so): it is sealed, and the id is a keyed digest of it, the
same at each look.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import RowMapping, delete, insert, select, update

from storage import tables
from storage.errors import NotFound
from storage.ids import new_id
from storage.tx import Tx
from storage.types import canonical_json

KEPT = timedelta(days=400)  # of how looks went
_T, _LOOKS = tables.orphans, tables.orphan_looks
_PURPOSE = "orphan"
_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Orphan:
    """`item`: an opaque id, "<table>:<id>", "<log>|<day>", or a path under the data directory: see `kind`."""

    id: str
    kind: str
    item: str
    first_seen_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True, slots=True)
class Look:
    """`rows`, `files`: how many were looked at. `found`: kind -> how many, also of those that are not listed."""

    began_at: datetime
    ended_at: datetime
    rows: int
    files: int
    found: Mapping[str, int]


async def seen(tx: Tx, kind: str, items: Iterable[str], now: datetime) -> None:
    """One look's findings of one kind, or a part of them."""
    for item in items:
        orphan_id = _id(tx, kind, item)
        if not await tx.write(update(_T).where(_T.c.id == orphan_id).values(last_seen_at=now)):
            about = tx.keys.seal("orphans", "about", orphan_id, canonical_json({"item": item}))
            times = {"first_seen_at": now, "last_seen_at": now}
            await tx.write(insert(_T).values(id=orphan_id, kind=kind, about_sealed=about, **times))


async def close(tx: Tx, look: Look) -> None:
    """A whole look is over: what it did not see any more is no orphan."""
    await tx.write(delete(_T).where(_T.c.last_seen_at < look.began_at))
    values = {name: getattr(look, name) for name in Look.__slots__}
    await tx.write(insert(_LOOKS).values(id=new_id(), **values))
    await tx.write(delete(_LOOKS).where(_LOOKS.c.ended_at < look.ended_at - KEPT))


async def newest_look(tx: Tx) -> Look | None:
    row = await tx.row(select(_LOOKS).order_by(_LOOKS.c.ended_at.desc(), _LOOKS.c.id).limit(1))
    return None if row is None else Look(**{name: row[name] for name in Look.__slots__})


async def list_all(tx: Tx) -> tuple[Orphan, ...]:
    """By kind, the longest known first."""
    rows = await tx.rows(select(_T).order_by(_T.c.kind, _T.c.first_seen_at, _T.c.id))
    return tuple(_orphan(tx, row) for row in rows)


async def get(tx: Tx, orphan_id: str) -> Orphan:
    """Raises `NotFound`."""
    row = await tx.row(select(_T).where(_T.c.id == orphan_id))
    if row is None:
        raise NotFound("orphan", orphan_id)
    return _orphan(tx, row)


async def forget(tx: Tx, orphan_id: str) -> None:
    """In the transaction that keeps the receipt for it."""
    await tx.write(delete(_T).where(_T.c.id == orphan_id))


def _id(tx: Tx, kind: str, item: str) -> str:
    return tx.keys.blind_index(_PURPOSE, f"{kind}\0{item}")[2 : 2 + _ID_BYTES].hex()


def _orphan(tx: Tx, row: RowMapping) -> Orphan:
    about = json.loads(tx.keys.open("orphans", "about", row["id"], row["about_sealed"]))
    return Orphan(row["id"], row["kind"], about["item"], row["first_seen_at"], row["last_seen_at"])
