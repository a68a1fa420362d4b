"""Call records whose fields age: which are looked at next, and the one write that makes a record coarser.

What it becomes is decided elsewhere (`retention.ageing`). A record is changed in one transaction with its index and its
hashes, so that after a crash it is as it was or as it is to be.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from storage import coming_days, month_keys, tables
from storage.coming_days import Dated
from storage.tx import Tx
from storage.types import canonical_json

_T, _PEERS, _HASHES = tables.call_records, tables.call_peers, tables.call_month_peers
_IN_ONE = 400  # ids in one statement


@dataclass(frozen=True, slots=True)
class Stored:
    """A record with its numbers in clear: for whoever makes it coarser."""

    call_id: str
    metadata_class: str
    at: datetime
    expires_at: datetime
    fields: Mapping[str, Any]
    numbers: Mapping[str, str] = field(repr=False)
    keyed: bool
    ages_at: datetime | None


async def due(tx: Tx, now: datetime, *, limit: int, skip: int = 0) -> tuple[str, ...]:
    """Ids of records of which a field is to become coarser by `now`, the longest overdue first; those that have
    expired as a whole are not among them."""
    rows = await tx.rows(
        select(_T.c.id)
        .where(_T.c.ages_at <= now, _T.c.expires_at > now)
        .order_by(_T.c.ages_at, _T.c.id)
        .limit(limit)
        .offset(skip)
    )
    return tuple(row["id"] for row in rows)


async def count_due(tx: Tx, now: datetime) -> int:
    wanted = select(func.count().label("n")).select_from(_T).where(_T.c.ages_at <= now, _T.c.expires_at > now)
    row = await tx.row(wanted)
    return int(row["n"]) if row is not None else 0


async def by_day(tx: Tx, now: datetime, days: int) -> dict[str, int]:
    """How many records have their next step on which of the coming days: see `storage.coming_days`."""
    steps = {"": Dated(_T.c.ages_at, _T.c.expires_at > _T.c.ages_at)}
    return {day: found[""] for day, found in (await coming_days.by_day(tx, steps, now, days)).items()}


async def load(tx: Tx, call_ids: Sequence[str]) -> tuple[Stored, ...]:
    """Those that are there, in the order of the ids."""
    found: dict[str, Stored] = {}
    for start in range(0, len(call_ids), _IN_ONE):
        some = call_ids[start : start + _IN_ONE]
        keyed = {
            row["call_id"]
            for row in await tx.rows(select(_HASHES.c.call_id).where(_HASHES.c.call_id.in_(some)).distinct())
        }
        for row in await tx.rows(select(_T).where(_T.c.id.in_(some))):
            found[row["id"]] = Stored(
                row["id"],
                row["metadata_class"],
                row["at"],
                row["expires_at"],
                json.loads(tx.keys.open("call_records", "fields", row["id"], row["fields_sealed"])),
                json.loads(tx.keys.open("call_records", "numbers", row["id"], row["numbers_sealed"])),
                row["id"] in keyed,
                row["ages_at"],
            )
    return tuple(found[call_id] for call_id in call_ids if call_id in found)


async def become(
    tx: Tx,
    call_id: str,
    *,
    at: datetime,
    expires_at: datetime,
    fields: Mapping[str, Any],
    numbers: Mapping[str, str],
    to_key: Mapping[str, str],
    keyed: bool,
    ages_at: datetime | None,
    month: str,
    now: datetime,
) -> None:
    """Write the record as it is from now on. `numbers`: those that stay in full; their index stays with them. `to_key`:
    those that are kept as hashes under the key of `month` from now on; without `keyed` no hash stays either."""
    if not numbers:
        await tx.write(delete(_PEERS).where(_PEERS.c.call_id == call_id))
    if to_key or not keyed:
        await tx.write(delete(_HASHES).where(_HASHES.c.call_id == call_id))
    for role, number in to_key.items():
        digest = await month_keys.digest(tx, month, number, now)
        await tx.write(insert(_HASHES).values(call_id=call_id, role=role, digest=digest))
    await tx.write(
        update(_T)
        .where(_T.c.id == call_id)
        .values(
            at=at,
            expires_at=expires_at,
            ages_at=ages_at,
            fields_sealed=tx.keys.seal("call_records", "fields", call_id, canonical_json(dict(fields))),
            numbers_sealed=tx.keys.seal("call_records", "numbers", call_id, canonical_json(dict(numbers))),
        )
    )


async def look_again(tx: Tx, call_id: str, ages_at: datetime | None) -> None:
    """Nothing of it is due; when something will be."""
    await tx.write(update(_T).where(_T.c.id == call_id).values(ages_at=ages_at))
