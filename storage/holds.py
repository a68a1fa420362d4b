"""Legal holds: what may not be destroyed while a case needs it (GDPR Art. 17(3)(e)).

A hold lies on opaque ids (a recording, a call with all that belongs to it) or on numbers, by their keyed digest: then
on every call and recording in which that number is heard. Who asked for it and why is sealed.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Column, RowMapping, insert, select, text, update

from storage import tables
from storage.errors import Conflict, Invalid, NotFound
from storage.ids import require_in
from storage.numbers import digests
from storage.tx import Tx
from storage.types import canonical_json

SCOPES = frozenset({"recording", "call", "account", "number"})
_T = tables.holds
_TARGETS = tables.hold_targets
_RECORDINGS, _HEARD, _CALL_PEERS = tables.recordings, tables.recording_peers, tables.call_peers
_EMERGENCY = tables.emergency_calls
_CONTACTS = {
    "contact_consent": tables.contact_consents,
    "contact_reference": tables.contact_references,
    "contact_attempt": tables.contact_attempts,
}
_IN_ONE = 400  # ids in one statement


@dataclass(frozen=True, slots=True)
class About:
    """What only those see who may: free text, and what the hold lies on as it was named."""

    case: str
    requested_by: str
    approved_by: str
    reason: str
    named: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Hold:
    id: str
    scope: str  # of SCOPES
    about: About
    created_at: datetime
    review_at: datetime
    lifted_at: datetime | None


async def add(
    tx: Tx,
    hold_id: str,
    scope: str,
    about: About,
    *,
    ids: Iterable[str] = (),
    numbers: Iterable[str] = (),
    now: datetime,
    review_at: datetime,
) -> Hold:
    """`ids`: of recordings or calls; `numbers`: normalised, see `storage.numbers`. Raises `Duplicate("id")`, `Invalid`
    for a hold on nothing."""
    require_in("scope", scope, SCOPES)
    targets = {each.encode() for each in ids} | {one for each in numbers for one in digests(tx.keys, each)}
    if not targets:
        raise Invalid("hold", "lies on nothing")
    if review_at <= now:
        raise Invalid("review_at", "must lie ahead")
    await lock(tx)
    sealed = tx.keys.seal("holds", "about", hold_id, canonical_json(asdict(about)))
    await tx.write(insert(_T).values(id=hold_id, scope=scope, about_sealed=sealed, created_at=now, review_at=review_at))
    for target in sorted(targets):
        await tx.write(insert(_TARGETS).values(hold_id=hold_id, target=target))
    return await get(tx, hold_id)


async def get(tx: Tx, hold_id: str) -> Hold:
    """Raises `NotFound`."""
    row = await tx.row(select(_T).where(_T.c.id == hold_id))
    if row is None:
        raise NotFound("hold", hold_id)
    return _hold(tx, row)


async def list_all(tx: Tx, *, standing_only: bool = False) -> tuple[Hold, ...]:
    """Newest first."""
    wanted = select(_T).order_by(_T.c.created_at.desc(), _T.c.id)
    if standing_only:
        wanted = wanted.where(_T.c.lifted_at.is_(None))
    return tuple(_hold(tx, row) for row in await tx.rows(wanted))


async def lift(tx: Tx, hold_id: str, now: datetime) -> Hold:
    """Raises `NotFound`, `Conflict` where it was lifted already."""
    if (await get(tx, hold_id)).lifted_at is not None:
        raise Conflict("that hold was lifted already")
    await tx.write(update(_T).where(_T.c.id == hold_id).values(lifted_at=now))
    return await get(tx, hold_id)


async def lock(tx: Tx) -> None:
    """Until this transaction ends no hold is laid (SQLite has one writer as it is): who destroys takes it before asking
    `standing`, and who lays a hold before doing so."""
    if tx.conn.dialect.name == "postgresql":
        await tx.conn.execute(text("LOCK TABLE holds IN SHARE ROW EXCLUSIVE MODE"))


async def standing(tx: Tx) -> Mapping[bytes, tuple[str, ...]]:
    """Target -> ids of the holds that stand on it. There are few; what is asked about is looked up among them."""
    wanted = select(_TARGETS).join(_T, _T.c.id == _TARGETS.c.hold_id).where(_T.c.lifted_at.is_(None))
    found: dict[bytes, tuple[str, ...]] = {}
    for row in await tx.rows(wanted.order_by(_TARGETS.c.hold_id)):
        target = bytes(row["target"])
        found[target] = (*found.get(target, ()), row["hold_id"])
    return found


async def on(tx: Tx, kind: str, item_ids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Item id -> ids of the holds that stand on it, for those that have any. `kind`: see `storage.expiry`."""
    targets = await standing(tx)
    if not targets or not item_ids:
        return {}
    found: dict[str, dict[str, None]] = {}
    for item_id, target in await _targets_of(tx, kind, item_ids):
        for hold_id in targets.get(target, ()):
            found.setdefault(item_id, {})[hold_id] = None
    return {item_id: tuple(sorted(hold_ids)) for item_id, hold_ids in found.items()}


async def _targets_of(tx: Tx, kind: str, item_ids: Sequence[str]) -> list[tuple[str, bytes]]:
    """Everything that a hold could lie on, of these items."""
    found = [(item_id, item_id.encode()) for item_id in item_ids]
    match kind:
        case "recording":
            found += await _pairs(tx, _RECORDINGS.c.id, _RECORDINGS.c.call_id, item_ids)
            found += await _pairs(tx, _HEARD.c.recording_id, _HEARD.c.digest, item_ids)
        case "call_record" | "diagnosis" | "emergency_call":
            found += await _pairs(tx, _CALL_PEERS.c.call_id, _CALL_PEERS.c.digest, item_ids)
            recordings = await _pairs(tx, _RECORDINGS.c.call_id, _RECORDINGS.c.id, item_ids)
            found += recordings
            calls = {rec_id.decode(): call_id for call_id, rec_id in recordings}
            heard = await _pairs(tx, _HEARD.c.recording_id, _HEARD.c.digest, list(calls))
            found += [(calls[rec_id], digest) for rec_id, digest in heard]
            found += await _pairs(tx, _EMERGENCY.c.id, _EMERGENCY.c.account_id, item_ids)
        case "contact_consent" | "contact_reference" | "contact_attempt":
            table = _CONTACTS[kind]
            found += await _pairs(tx, table.c.id, table.c.digest, item_ids)
        case "usage":
            found += [(item_id, item_id.partition("|")[0].rpartition(":")[2].encode()) for item_id in item_ids]
    return found


async def _pairs(tx: Tx, key: Column[str], value: Column[Any], keys: Sequence[str]) -> list[tuple[str, bytes]]:
    rows: list[RowMapping] = []
    for start in range(0, len(keys), _IN_ONE):
        some = key.in_(keys[start : start + _IN_ONE])
        rows += await tx.rows(select(key.label("key"), value.label("value")).where(some, value.is_not(None)))
    return [
        (row["key"], row["value"].encode() if isinstance(row["value"], str) else bytes(row["value"])) for row in rows
    ]


def _hold(tx: Tx, row: RowMapping) -> Hold:
    about = About(**json.loads(tx.keys.open("holds", "about", row["id"], row["about_sealed"])))
    return Hold(row["id"], row["scope"], about, row["created_at"], row["review_at"], row["lifted_at"])
