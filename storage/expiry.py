"""What has a date on which it goes, kind by kind: found in the order of that date, counted, removed, looked for again.

Kinds: recording (removed by `storage.recordings.destroy`), call_record, diagnosis, usage, emergency_call, of permission
to contact contact_consent, contact_reference, contact_attempt, hold (one that was lifted), alert, recording_note,
listening_request (one that is over), and of texts those of `storage.text_expiry`. The id of a usage sum is
"<owner>|<day>". Of sums, emergency calls, holds and days the tables hold no expiry: the caller reckons it from the
moment. Of two sorts other modules know: the days of the ledger (`storage.log_days`) and kek (`storage.spent_keys`).
What ages within a record, and keys of months, are in `storage.ageing` and `storage.month_keys`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, or_, select

from storage import coming_days, log_days, spent_keys, tables, text_expiry
from storage.coming_days import Dated
from storage.errors import Invalid
from storage.tx import Tx

# Rows of one table that say themselves until when they are kept: kind, table, when they began, when they go.
_DATED = {
    "contact_consent": (tables.contact_consents, "given_at", "kept_until"),
    "contact_reference": (tables.contact_references, "since", "kept_until"),
    "contact_attempt": (tables.contact_attempts, "at", "kept_until"),
    "alert": (tables.alerts, "last_at", "kept_until"),
    "recording_note": (tables.recording_notes, "written_at", "kept_until"),
    "listening_request": (tables.listening_requests, "asked_at", "until"),
}
# Keys last: what was under them is gone by then.
KINDS = (
    "recording",
    "call_record",
    "diagnosis",
    "usage",
    "emergency_call",
    *_DATED,
    *text_expiry.KINDS,
    *log_days.KINDS,
    "hold",
    "kek",
)
_HOLDS, _HOLD_TARGETS = tables.holds, tables.hold_targets
_RECORDINGS, _CALLS, _PEERS = tables.recordings, tables.call_records, tables.call_peers
_CLOSED = _RECORDINGS.c.state.in_(("whole", "cut", "failed"))  # named, so that the index of states leads to them
_HASHES = tables.call_month_peers
_DIAGNOSES, _USAGE, _EMERGENCY = tables.call_diagnoses, tables.usage, tables.emergency_calls
_IN_ONE = 400  # ids in one statement


@dataclass(frozen=True, slots=True)
class Expiring:
    """`label`: the purpose of a recording with its version ("REC_QUALITY@2026-11-21.1"), the class of a call record,
    else "". `expires_at` None: the table does not say. `event_at`: from when a recording's period runs, where that is a
    later event and it has happened. `objected`: somebody said no to it."""

    item_id: str
    kind: str
    label: str
    created_at: datetime
    expires_at: datetime | None
    event_at: datetime | None = None
    objected: bool = False


async def until(tx: Tx, kind: str, before: datetime, *, limit: int, skip: int = 0) -> tuple[Expiring, ...]:
    """Those that expire by then (usage and emergency calls: that were by then), the longest overdue first.

    A recording that still runs is not among them. Raises `Invalid` for another kind.
    """
    if kind in log_days.KINDS:
        days = await log_days.over(tx, kind, before)
        return tuple(Expiring(day, kind, "", _day(day), None) for day in days[skip : skip + limit])
    if kind == "kek":
        keks = await spent_keys.until(tx, before, limit=limit, skip=skip)
        return tuple(Expiring(k["id"], kind, k["purpose"], k["created_at"], k["not_after"]) for k in keks)
    rows = await tx.rows(_found(kind, before).limit(limit).offset(skip))
    return tuple(_expiring(kind, row) for row in rows)


async def count(tx: Tx, kind: str, before: datetime) -> int:
    """How many `until` would give without a limit."""
    if kind in log_days.KINDS:
        return len(await log_days.over(tx, kind, before))
    if kind == "kek":
        return await spent_keys.count(tx, before)
    row = await tx.row(select(func.count().label("n")).select_from(_found(kind, before).order_by(None).subquery()))
    return int(row["n"]) if row is not None else 0


async def by_day(tx: Tx, kinds: Collection[str], now: datetime, days: int) -> dict[str, dict[str, int]]:
    """How many expire on which of the coming days: see `storage.coming_days`. By the indexes alone, for kinds of which
    the table itself says when: `until` has them with an `expires_at`."""
    end = now + timedelta(days=days)
    return await coming_days.by_day(tx, {kind: _dated(kind, end) for kind in kinds}, now, days)


async def remove(tx: Tx, kind: str, item_ids: Sequence[str]) -> None:
    """Rows with their index. Not for recordings, days and keys."""
    for some in _pieces(item_ids):
        match kind:
            case "call_record":
                await tx.write(delete(_PEERS).where(_PEERS.c.call_id.in_(some)))
                await tx.write(delete(_HASHES).where(_HASHES.c.call_id.in_(some)))
                await tx.write(delete(_CALLS).where(_CALLS.c.id.in_(some)))
            case "diagnosis":
                await tx.write(delete(_DIAGNOSES).where(_DIAGNOSES.c.call_id.in_(some)))
            case "emergency_call":
                await tx.write(delete(_EMERGENCY).where(_EMERGENCY.c.id.in_(some)))
            case "usage":
                await tx.write(delete(_USAGE).where(_sums(some)))
            case "hold":
                await tx.write(delete(_HOLD_TARGETS).where(_HOLD_TARGETS.c.hold_id.in_(some)))
                await tx.write(delete(_HOLDS).where(_HOLDS.c.id.in_(some)))
            case _ if kind in _DATED:
                table = _DATED[kind][0]
                await tx.write(delete(table).where(table.c.id.in_(some)))
            case _ if kind in text_expiry.TABLES:
                await text_expiry.remove(tx, kind, some)
            case _:
                raise Invalid("kind", "is not removed by rows")


async def left(tx: Tx, kind: str, item_ids: Sequence[str]) -> Mapping[str, int]:
    """Rows that are still there, of these: item id -> how many. Not for recordings, days and keys."""
    found: dict[str, int] = {}
    for some in _pieces(item_ids):
        for key in await _still(tx, kind, some):
            found[key] = found.get(key, 0) + 1
    return MappingProxyType(found)


async def _still(tx: Tx, kind: str, some: Sequence[str]) -> list[str]:
    match kind:
        case "call_record":
            rows = [
                *await tx.rows(select(_CALLS.c.id.label("key")).where(_CALLS.c.id.in_(some))),
                *await tx.rows(select(_PEERS.c.call_id.label("key")).where(_PEERS.c.call_id.in_(some))),
                *await tx.rows(select(_HASHES.c.call_id.label("key")).where(_HASHES.c.call_id.in_(some))),
            ]
        case "diagnosis":
            rows = [*await tx.rows(select(_DIAGNOSES.c.call_id.label("key")).where(_DIAGNOSES.c.call_id.in_(some)))]
        case "emergency_call":
            rows = [*await tx.rows(select(_EMERGENCY.c.id.label("key")).where(_EMERGENCY.c.id.in_(some)))]
        case "usage":
            sums = await tx.rows(select(_USAGE.c.owner, _USAGE.c.day).where(_sums(some)))
            return [f"{row['owner']}|{row['day']}" for row in sums]
        case "hold":
            rows = [
                *await tx.rows(select(_HOLDS.c.id.label("key")).where(_HOLDS.c.id.in_(some))),
                *await tx.rows(select(_HOLD_TARGETS.c.hold_id.label("key")).where(_HOLD_TARGETS.c.hold_id.in_(some))),
            ]
        case _ if kind in _DATED:
            table = _DATED[kind][0]
            rows = [*await tx.rows(select(table.c.id.label("key")).where(table.c.id.in_(some)))]
        case _ if kind in text_expiry.TABLES:
            return await text_expiry.still(tx, kind, some)
        case _:
            raise Invalid("kind", "is not removed by rows")
    return [row["key"] for row in rows]


def _found(kind: str, before: datetime) -> Select[Any]:
    match kind:
        case "recording":
            expired = and_(_CLOSED, _RECORDINGS.c.expires_at <= before)
            return select(_RECORDINGS).where(expired).order_by(_RECORDINGS.c.expires_at, _RECORDINGS.c.id)
        case "call_record":
            calls = select(_CALLS.c.id, _CALLS.c.metadata_class, _CALLS.c.at, _CALLS.c.expires_at)
            return calls.where(_CALLS.c.expires_at <= before).order_by(_CALLS.c.expires_at, _CALLS.c.id)
        case "diagnosis":
            diagnoses = select(_DIAGNOSES.c.call_id, _DIAGNOSES.c.at, _DIAGNOSES.c.expires_at)
            over = _DIAGNOSES.c.expires_at <= before
            return diagnoses.where(over).order_by(_DIAGNOSES.c.expires_at, _DIAGNOSES.c.call_id)
        case "emergency_call":
            ended = and_(_EMERGENCY.c.at <= before, _EMERGENCY.c.outcome != "running")
            return select(_EMERGENCY.c.id, _EMERGENCY.c.at).where(ended).order_by(_EMERGENCY.c.at, _EMERGENCY.c.id)
        case "usage":
            by_then = _USAGE.c.day <= before.astimezone(UTC).date().isoformat()
            return select(_USAGE.c.owner, _USAGE.c.day).where(by_then).order_by(_USAGE.c.day, _USAGE.c.owner)
        case "hold":
            keyless = ~exists(select(tables.held_keys.c.rec_id).where(tables.held_keys.c.hold_id == _HOLDS.c.id))
            lifted = select(_HOLDS.c.id, _HOLDS.c.lifted_at).where(_HOLDS.c.lifted_at <= before, keyless)
            return lifted.order_by(_HOLDS.c.lifted_at, _HOLDS.c.id)
        case _ if kind in _DATED:
            table, began, until_ = _DATED[kind]
            ends = table.c[until_]
            rows = select(table.c.id, table.c[began].label("at"), ends.label("expires_at"))
            return rows.where(ends <= before).order_by(ends, table.c.id)
    if kind in text_expiry.KINDS:
        return text_expiry.found(kind, before)
    raise Invalid("kind", f"is not one of {', '.join(KINDS)}")


def _dated(kind: str, end: datetime) -> Dated:
    """As `_found`, for those by `end`."""
    match kind:
        case "recording":
            return Dated(_RECORDINGS.c.expires_at, _CLOSED)
        case "call_record":
            return Dated(_CALLS.c.expires_at)
        case "diagnosis":
            return Dated(_DIAGNOSES.c.expires_at)
        case _ if kind in _DATED:
            table, _, until_ = _DATED[kind]
            return Dated(table.c[until_])
        case _ if kind in text_expiry.KINDS:
            return text_expiry.dated(kind, end)
    raise Invalid("kind", "has no expiry in its table")


def _expiring(kind: str, row: Any) -> Expiring:
    match kind:
        case "recording":
            label = f"{row['purpose'] or ''}@{row['pack_version'] or ''}"
            objected = row["objected_at"] is not None
            return Expiring(row["id"], kind, label, row["started_at"], row["expires_at"], row["event_at"], objected)
        case "call_record":
            return Expiring(row["id"], kind, row["metadata_class"], row["at"], row["expires_at"])
        case "diagnosis":
            return Expiring(row["call_id"], kind, "", row["at"], row["expires_at"])
        case "emergency_call":
            return Expiring(row["id"], kind, "", row["at"], None)
        case "hold":
            return Expiring(row["id"], kind, "", row["lifted_at"], None)
        case _ if kind in _DATED:
            return Expiring(row["id"], kind, "", row["at"], row["expires_at"])
        case _ if kind in text_expiry.KINDS:
            return Expiring(row["id"], kind, row["label"] or text_expiry.pack_of(kind), row["at"], row["expires_at"])
        case _:
            return Expiring(f"{row['owner']}|{row['day']}", kind, "", _day(row["day"]), None)


def _day(text: str) -> datetime:
    return datetime.combine(date.fromisoformat(text), time(), UTC)


def _sums(item_ids: Sequence[str]) -> ColumnElement[bool]:
    keys = [item_id.partition("|") for item_id in item_ids]
    return or_(*(and_(_USAGE.c.owner == owner, _USAGE.c.day == day) for owner, _, day in keys))


def _pieces(item_ids: Sequence[str]) -> list[Sequence[str]]:
    return [item_ids[start : start + _IN_ONE] for start in range(0, len(item_ids), _IN_ONE)]
