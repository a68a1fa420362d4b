"""Call records, as far as their metadata class allows, and day totals for the class that allows none.

The caller (`retention.metadata`) has already reduced the fields and rounded the time; everything but class, purpose,
basis and times is sealed all the same.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, delete, insert, or_, select, text, update

from storage import month_keys, tables
from storage.accounts import METADATA_CLASSES
from storage.errors import Invalid, NotFound
from storage.ids import require, require_in
from storage.numbers import digest, digests
from storage.tx import Tx
from storage.types import canonical_json

DIRECTIONS = frozenset({"internal", "inbound", "outbound"})
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_IN_ONE = 500  # ids in one statement
_T = tables.call_records
_PEERS = tables.call_peers
_HASHES = tables.call_month_peers
_TOTALS = tables.call_totals
# The same words on SQLite and PostgreSQL; one statement, so that two nodes cannot both insert.
_ADD_TO_TOTAL = text(
    "INSERT INTO call_totals (day, direction, calls, minutes) VALUES (:day, :direction, 1, :minutes) "
    "ON CONFLICT (day, direction) DO UPDATE "
    "SET calls = call_totals.calls + 1, minutes = call_totals.minutes + excluded.minutes"
)


@dataclass(frozen=True, slots=True)
class CallRecord:
    id: str
    line_id: str | None
    metadata_class: str  # "minimal" or "standard"; "none" leaves no record
    purpose: str
    legal_basis: str
    at: datetime  # start of the call, as exact as the class allows
    expires_at: datetime
    fields: Mapping[str, Any]  # JSON values; no numbers: see `numbers`
    recording_id: str | None
    ages_at: datetime | None = None  # when the next of its fields becomes coarser; see `add`


@dataclass(frozen=True, slots=True)
class Total:
    day: str  # "2026-11-21"
    direction: str
    calls: int
    minutes: int


async def add(tx: Tx, record: CallRecord, numbers: Mapping[str, str]) -> None:
    """`numbers`: role ("caller", "callee"...) to normalised number; may be empty. Without `ages_at` the next sweep
    looks when the record ages.

    Raises `Duplicate("id")`; `Invalid` for class "none", of which only `count` may know.
    """
    require_in("metadata_class", record.metadata_class, METADATA_CLASSES - {"none"})
    await tx.write(
        insert(_T).values(
            id=record.id,
            line_id=record.line_id,
            metadata_class=record.metadata_class,
            purpose=record.purpose,
            legal_basis=record.legal_basis,
            at=record.at,
            expires_at=record.expires_at,
            fields_sealed=tx.keys.seal("call_records", "fields", record.id, canonical_json(dict(record.fields))),
            numbers_sealed=tx.keys.seal("call_records", "numbers", record.id, canonical_json(dict(numbers))),
            recording_id=record.recording_id,
            ages_at=record.ages_at or record.at,
        )
    )
    for role, number in numbers.items():
        await tx.write(insert(_PEERS).values(call_id=record.id, role=role, digest=await digest(tx, number)))


async def get(tx: Tx, call_id: str) -> CallRecord:
    """Raises `NotFound`."""
    row = await tx.row(select(_T).where(_T.c.id == call_id))
    if row is None:
        raise NotFound("call", call_id)
    return _opened(tx, row)


async def list_all(
    tx: Tx, *, line_id: str | None = None, limit: int | None = None, before: tuple[datetime, str] | None = None
) -> tuple[CallRecord, ...]:
    """Newest first; those that come after `before` (start and id of a call) in that order."""
    wanted = select(_T).order_by(_T.c.at.desc(), _T.c.id).limit(limit)
    if line_id is not None:
        wanted = wanted.where(_T.c.line_id == line_id)
    if before is not None:
        wanted = wanted.where(older(before))
    return tuple(_opened(tx, row) for row in await tx.rows(wanted))


async def begun(
    tx: Tx, since: datetime, *, limit: int, after: tuple[datetime, str] | None = None
) -> tuple[tuple[datetime, str], ...]:
    """Beginning and id of those that began then or later, newest first; none is opened. `after`: the last of the page
    before."""
    wanted = select(_T.c.at, _T.c.id).where(_T.c.at >= since).order_by(_T.c.at.desc(), _T.c.id).limit(limit)
    if after is not None:
        wanted = wanted.where(older(after))
    return tuple((at, call_id) for at, call_id in await tx.tuples(wanted))


def older(than: tuple[datetime, str]) -> ColumnElement[bool]:
    """What comes later in a list that has the newest first."""
    return and_(_T.c.at <= than[0], or_(_T.c.at < than[0], _T.c.id > than[1]))  # found by the index of `at`


async def with_number(tx: Tx, number: str) -> tuple[CallRecord, ...]:
    """Calls from or to that normalised number, newest first; those that keep it only as a hash, too, while the key of
    their month lives."""
    calls = select(_PEERS.c.call_id).where(_PEERS.c.digest.in_(await digests(tx, number)))
    hashed = select(_HASHES.c.call_id).where(_HASHES.c.digest.in_(await month_keys.digests(tx, number)))
    rows = await tx.rows(select(_T).where(_T.c.id.in_(calls.union(hashed))).order_by(_T.c.at.desc(), _T.c.id))
    return tuple(_opened(tx, row) for row in rows)


async def numbers(tx: Tx, call_id: str) -> dict[str, str]:
    """Role to number, in clear: for those who have the right to know. Raises `NotFound`."""
    row = await tx.row(select(_T.c.numbers_sealed).where(_T.c.id == call_id))
    if row is None:
        raise NotFound("call", call_id)
    opened: dict[str, str] = json.loads(tx.keys.open("call_records", "numbers", call_id, row["numbers_sealed"]))
    return opened


async def numbers_of(tx: Tx, call_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """`numbers` of many, those that there are."""
    found: dict[str, dict[str, str]] = {}
    open_numbers = tx.keys.opener("call_records", "numbers")
    for start in range(0, len(call_ids), _IN_ONE):
        some = _T.c.id.in_(call_ids[start : start + _IN_ONE])
        for call_id, sealed in await tx.tuples(select(_T.c.id, _T.c.numbers_sealed).where(some)):
            found[call_id] = json.loads(open_numbers(call_id, sealed))
    return found


async def some(tx: Tx, call_ids: Sequence[str]) -> tuple[CallRecord, ...]:
    """Those that there are, in the order of the ids."""
    found: dict[str, CallRecord] = {}
    for start in range(0, len(call_ids), _IN_ONE):
        rows = await tx.rows(select(_T).where(_T.c.id.in_(call_ids[start : start + _IN_ONE])))
        found |= {row["id"]: _opened(tx, row) for row in rows}
    return tuple(found[call_id] for call_id in call_ids if call_id in found)


async def set_recording(tx: Tx, call_id: str, recording_id: str | None) -> None:
    """Raises `NotFound`."""
    if not await tx.write(update(_T).where(_T.c.id == call_id).values(recording_id=recording_id)):
        raise NotFound("call", call_id)


async def drop_recordings(tx: Tx, rec_ids: Sequence[str]) -> None:
    """The records of their calls name these recordings no more."""
    await tx.write(update(_T).where(_T.c.recording_id.in_(rec_ids)).values(recording_id=None))


async def naming(tx: Tx, rec_ids: Sequence[str]) -> frozenset[str]:
    """Those of these recordings that the record of a call names."""
    rows = await tx.rows(select(_T.c.recording_id).where(_T.c.recording_id.in_(rec_ids)))
    return frozenset(row["recording_id"] for row in rows)


async def expired(tx: Tx, now: datetime) -> tuple[str, ...]:
    """Ids of the records that should be gone by now, oldest expiry first."""
    rows = await tx.rows(select(_T.c.id).where(_T.c.expires_at <= now).order_by(_T.c.expires_at))
    return tuple(row["id"] for row in rows)


async def remove(tx: Tx, call_id: str) -> bool:
    """The record with its index. Whether there was one."""
    await tx.write(delete(_PEERS).where(_PEERS.c.call_id == call_id))
    await tx.write(delete(_HASHES).where(_HASHES.c.call_id == call_id))
    return bool(await tx.write(delete(_T).where(_T.c.id == call_id)))


async def count(tx: Tx, day: str, direction: str, minutes: int) -> None:
    """One more call of class "none" on that day (UTC, "2026-11-21"): all that is ever known of it."""
    require("day", day, _DAY)
    require_in("direction", direction, DIRECTIONS)
    if minutes < 0:
        raise Invalid("minutes", "is negative")
    await tx.write(_ADD_TO_TOTAL.bindparams(day=day, direction=direction, minutes=minutes))


async def totals(tx: Tx) -> tuple[Total, ...]:
    """By day and direction."""
    return tuple(Total(**row) for row in await tx.rows(select(_TOTALS).order_by(_TOTALS.c.day, _TOTALS.c.direction)))


def _opened(tx: Tx, row: RowMapping) -> CallRecord:
    return CallRecord(
        id=row["id"],
        line_id=row["line_id"],
        metadata_class=row["metadata_class"],
        purpose=row["purpose"],
        legal_basis=row["legal_basis"],
        at=row["at"],
        expires_at=row["expires_at"],
        fields=json.loads(tx.keys.open("call_records", "fields", row["id"], row["fields_sealed"])),
        recording_id=row["recording_id"],
        ages_at=row["ages_at"],
    )
