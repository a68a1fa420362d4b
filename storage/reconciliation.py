"""Rows that have no owner, no purpose, no expiry, or refer to nothing: found, never removed.

Each check is one short read. Those of `CHECKS` are a statement that yields `item`; those that have to look into what
is stored as JSON go through it in batches.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    Table,
    and_,
    cast,
    delete,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
    union,
)

from storage import log_days, tables
from storage.database import Database
from storage.readers import ESCROW
from storage.tx import Tx

MOST = 1000  # of one kind that are listed; all are counted
STUCK = timedelta(days=1)  # after which a destruction that was begun should be over
_NO_MOMENT = datetime(1970, 1, 2, tzinfo=UTC)
_R, _RK, _HK = tables.recordings, tables.rec_keys, tables.held_keys
_KEPT = ("recording", "whole", "cut")
_IN_ONE = 400


def _key_without_recording(_: datetime) -> Select[Any]:
    keyed = union(select(_RK.c.rec_id), select(_HK.c.rec_id)).subquery()
    kept = exists(select(_R.c.id).where(_R.c.id == keyed.c.rec_id, _R.c.state.in_(_KEPT)))
    return select(keyed.c.rec_id.label("item")).where(not_(kept))


def _recording_without_key(_: datetime) -> Select[Any]:
    keyed = [exists(select(table.c.rec_id).where(table.c.rec_id == _R.c.id)) for table in (_RK, _HK)]
    return select(_R.c.id.label("item")).where(_R.c.state.in_(("whole", "cut")), not_(or_(*keyed)))


def _index_without_owner(_: datetime) -> Select[Any]:
    calls, heard = tables.call_peers, tables.recording_peers
    record = exists(select(tables.call_records.c.id).where(tables.call_records.c.id == calls.c.call_id))
    recording = exists(select(_R.c.id).where(_R.c.id == heard.c.recording_id, _R.c.state != "destroyed"))
    alone = union(
        select((literal("call_peers:") + calls.c.call_id).label("item")).where(not_(record)),
        select((literal("recording_peers:") + heard.c.recording_id).label("item")).where(not_(recording)),
    ).subquery()
    return select(alone.c.item)


def _wrap_without_reader(_: datetime) -> Select[Any]:
    wraps, readers, keks = tables.kek_wraps, tables.reader_keys, tables.keks
    reader = exists(select(readers.c.person_id).where(readers.c.person_id == wraps.c.reader_id))
    living = exists(select(keks.c.id).where(keks.c.id == wraps.c.kek_id, keks.c.destroyed_at.is_(None)))
    alone = or_(and_(wraps.c.reader_id != ESCROW, not_(reader)), not_(living))
    return select((wraps.c.kek_id + "|" + wraps.c.reader_id).label("item")).where(alone)


def _key_without_hold(_: datetime) -> Select[Any]:
    hold = exists(select(tables.holds.c.id).where(tables.holds.c.id == _HK.c.hold_id))
    return select((_HK.c.rec_id + "|" + _HK.c.hold_id).label("item")).where(not_(hold))


def _place_without_key(_: datetime) -> Select[Any]:
    slots = tables.key_slots
    named = [
        exists(select(table.c.slot).where(table.c.slot == slots.c.slot)) for table in (_RK, _HK, tables.free_key_slots)
    ]
    return select(cast(slots.c.slot, String).label("item")).where(not_(or_(*named)))


def _record_of_no_recording(_: datetime) -> Select[Any]:
    calls = tables.call_records
    there = exists(select(_R.c.id).where(_R.c.id == calls.c.recording_id))
    return select(calls.c.id.label("item")).where(calls.c.recording_id.is_not(None), not_(there))


def _limit_of_nobody(_: datetime) -> Select[Any]:
    limits = tables.limits
    accounts = exists(select(tables.accounts.c.id).where(limits.c.owner == literal("account:") + tables.accounts.c.id))
    trunks = exists(select(tables.trunks.c.id).where(limits.c.owner == literal("trunk:") + tables.trunks.c.id))
    return select(limits.c.owner.label("item")).where(limits.c.owner != "default", not_(accounts), not_(trunks))


def _without_purpose(_: datetime) -> Select[Any]:
    rows = [
        _said(table, or_(*(or_(table.c[name].is_(None), table.c[name] == "") for name in ("purpose", "legal_basis"))))
        for table in _DATED
        if "purpose" in table.c
    ]
    alone = union(*rows).subquery()
    return select(alone.c.item)


def _without_expiry(_: datetime) -> Select[Any]:
    alone = union(*(_said(table, table.c[name] <= _NO_MOMENT) for table, name in _DATED.items())).subquery()
    return select(alone.c.item)


# Tables whose rows say themselves until when they are kept.
_DATED: Mapping[Table, str] = {
    _R: "expires_at",
    tables.call_records: "expires_at",
    tables.call_diagnoses: "expires_at",
    tables.contact_consents: "kept_until",
    tables.contact_references: "kept_until",
    tables.contact_attempts: "kept_until",
    tables.contact_suppressions: "kept_until",
    tables.sms_sent: "expires_at",
    tables.sms_received: "expires_at",
    tables.sms_requests: "expires_at",
    tables.sms_waiting: "expires_at",
    tables.conversations: "expires_at",
    tables.campaigns: "expires_at",
    tables.mail_orders: "expires_at",
}


def _said(table: Table, wrong: ColumnElement[bool]) -> Select[Any]:
    key = table.c.id if "id" in table.c else table.c.call_id
    living = table.c.state != "destroyed" if table is _R else literal(1) == literal(1)
    return select((literal(f"{table.name}:") + key).label("item")).where(wrong, living)


def _head_without_leaves(_: datetime) -> Select[Any]:
    """Fewer leaves than the head says, or leaves of a day that was pruned."""
    segments, leaves = tables.ledger_segments, tables.ledger_entries
    counted = (
        select(leaves.c.log, leaves.c.day, func.count().label("n")).group_by(leaves.c.log, leaves.c.day).subquery()
    )
    there = func.coalesce(counted.c.n, 0)
    wrong = or_(
        and_(segments.c.pruned.is_(None), there != segments.c.size), and_(segments.c.pruned.is_not(None), there > 0)
    )
    both = segments.outerjoin(counted, and_(counted.c.log == segments.c.log, counted.c.day == segments.c.day))
    return select((segments.c.log + "|" + segments.c.day).label("item")).select_from(both).where(wrong)


def _leaves_without_head(_: datetime) -> Select[Any]:
    segments, leaves = tables.ledger_segments, tables.ledger_entries
    head = exists(select(segments.c.day).where(segments.c.log == leaves.c.log, segments.c.day == leaves.c.day))
    return select((leaves.c.log + "|" + leaves.c.day).label("item")).where(not_(head)).distinct()


def _unfinished_destruction(now: datetime) -> Select[Any]:
    begun = tables.destructions
    return select(begun.c.id.label("item")).where(begun.c.begun_at < now - STUCK)


CHECKS: Mapping[str, Callable[[datetime], Select[Any]]] = {
    "key_without_recording": _key_without_recording,
    "recording_without_key": _recording_without_key,
    "index_without_owner": _index_without_owner,
    "wrap_without_reader": _wrap_without_reader,
    "key_without_hold": _key_without_hold,
    "place_without_key": _place_without_key,
    "record_of_no_recording": _record_of_no_recording,
    "limit_of_nobody": _limit_of_nobody,
    "without_purpose": _without_purpose,
    "without_expiry": _without_expiry,
    "head_without_leaves": _head_without_leaves,
    "leaves_without_head": _leaves_without_head,
    "unfinished_destruction": _unfinished_destruction,
}


async def run(tx: Tx, kind: str, now: datetime) -> tuple[list[str], int]:
    """Items of one check, at most MOST, and how many there are."""
    wanted = CHECKS[kind](now).order_by(None)
    rows = await tx.rows(wanted.limit(MOST))
    if len(rows) < MOST:
        return [row["item"] for row in rows], len(rows)
    counted = await tx.row(select(func.count().label("n")).select_from(wanted.subquery()))
    return [row["item"] for row in rows], int(counted["n"]) if counted is not None else MOST


async def remove_index(tx: Tx, item: str) -> None:
    """Entries of the index of numbers that belong to nothing: "<table>:<id>". Through the deletion gate only."""
    name, _, owner = item.partition(":")
    table, key = {"call_peers": (tables.call_peers, "call_id"), "recording_peers": (tables.recording_peers,
                  "recording_id")}[name]  # fmt: skip
    await tx.write(delete(table).where(table.c[key] == owner))


async def counts(tx: Tx) -> Mapping[str, int]:
    """Rows of each table."""
    found = {}
    for name, table in tables.metadata.tables.items():
        row = await tx.row(select(func.count().label("n")).select_from(table))
        found[name] = int(row["n"]) if row is not None else 0
    return found


async def kept_recordings(tx: Tx, *, after: str, limit: int) -> Sequence[tuple[str, str, Sequence[int]]]:
    """id, state, consent entries of recordings that are not destroyed, by id from the one after `after`."""
    wanted = select(_R.c.id, _R.c.state, _R.c.consent_refs).where(_R.c.state.in_(_KEPT), _R.c.id > after)
    rows = await tx.rows(wanted.order_by(_R.c.id).limit(limit))
    return [(row["id"], row["state"], row["consent_refs"] or ()) for row in rows]


async def entries_there(tx: Tx, log: str, seqs: Sequence[int]) -> frozenset[int]:
    """Which of these entries are in the log."""
    found: set[int] = set()
    entries = tables.ledger_entries
    for start in range(0, len(seqs), _IN_ONE):
        some = entries.c.seq.in_(seqs[start : start + _IN_ONE])
        found |= {row["seq"] for row in await tx.rows(select(entries.c.seq).where(entries.c.log == log, some))}
    return frozenset(found)


async def unmatched(db: Database, log: str, key: str) -> AsyncGenerator[tuple[bool, str], None]:
    """Both ways between entries of a log that name `key` (reason_id, receipt_id) and the rows of that id: (True, id)
    for an entry whose row is gone, (False, id) for a row that no entry names. A day at a time."""
    table = {"reason_id": tables.access_reasons, "receipt_id": tables.receipts}[key]
    async with db.read() as tx:
        segments = tables.ledger_segments
        wanted = select(segments.c.day).where(segments.c.log == log, segments.c.pruned.is_(None))
        days = [row["day"] for row in await tx.rows(wanted.order_by(segments.c.day))]
    ended = datetime.min.replace(tzinfo=UTC)
    waiting: set[str] = set()  # rows whose entry stands on a later day: the clock had gone back
    for day in days:
        async with db.read() as tx:
            named = {str(said[key]) async for said in log_days.bodies(tx, log, day) if key in said}
            began, ended = ended, log_days.span(day)[1]
            at = and_(table.c.at >= began, table.c.at < ended) if began.year > 1 else table.c.at < ended
            waiting |= {row["id"] for row in await tx.rows(select(table.c.id).where(at))}
            absent = named - waiting
            for start in range(0, len(gone := sorted(absent)), _IN_ONE):
                some = table.c.id.in_(gone[start : start + _IN_ONE])
                absent -= {row["id"] for row in await tx.rows(select(table.c.id).where(some))}
        waiting -= named
        for item in sorted(absent):
            yield True, item
    if not days:
        async with db.read() as tx:
            waiting = {row["id"] for row in await tx.rows(select(table.c.id).limit(MOST))}
    for item in sorted(waiting):
        yield False, item
