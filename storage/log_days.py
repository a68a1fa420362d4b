"""Days of the ledger that have had their time: which they are, what they name, and dropping their leaves.

Kinds: access_day, consent_day, erasure_day; ids "<day>". With a day's leaves go, in the same transaction, the rows that
exist for their sake: typed reasons with the access log; receipts, and what is left of destroyed recordings, with the
erasure log. The signed head stays.
"""

import json
from bisect import bisect_right
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import delete, func, select

from storage import ledger, tables
from storage.errors import Conflict, NotFound
from storage.tx import Tx

KINDS: Mapping[str, str] = {"access_day": "access", "consent_day": "consent", "erasure_day": "erasure"}
# What else goes with a day's leaves.
TABLES: Mapping[str, tuple[str, ...]] = {
    "access_day": ("access_reasons", "ledger_entries"),
    "consent_day": ("ledger_entries",),
    "erasure_day": ("receipts", "recordings", "ledger_entries"),
}
_S, _E = tables.ledger_segments, tables.ledger_entries
_REASONS, _RECEIPTS, _RECORDINGS = tables.access_reasons, tables.receipts, tables.recordings
_AT_ONCE = 1000
_IN_ONE = 400


async def over(tx: Tx, kind: str, before: datetime) -> list[str]:
    """Days that ended by then, oldest first: neither pruned already nor the newest. Of the consent log only those on
    which nothing that is still kept rests."""
    log, ended = KINDS[kind], (before.astimezone(UTC) - timedelta(days=1)).date().isoformat()
    newest = select(func.max(_S.c.day)).where(_S.c.log == log).scalar_subquery()
    wanted = select(_S).where(_S.c.log == log, _S.c.pruned.is_(None), _S.c.day <= ended, _S.c.day < newest)
    segments = await tx.rows(wanted.order_by(_S.c.day))
    days = [row["day"] for row in segments]
    if log != "consent" or not days:
        return days
    needed = await _needed(tx, days, [row["first_seq"] for row in segments])
    return [day for day in days if day not in needed]


async def names(tx: Tx, kind: str, day: str, wanted: frozenset[str]) -> frozenset[str]:
    """Which of these ids the entries of that day name."""
    found: set[str] = set()
    async for said in bodies(tx, KINDS[kind], day):
        found.update(value for value in said.values() if isinstance(value, str) and value in wanted)
    return frozenset(found)


async def prune(tx: Tx, kind: str, day: str, now: datetime) -> None:
    """Through the deletion gate only. Doing it again is no error."""
    log = KINDS[kind]
    aside: dict[str, list[str]] = {"reason_id": [], "receipt_id": [], "rec_id": []}
    async for said in bodies(tx, log, day):
        for key, ids in aside.items():
            if key in said:
                ids.append(str(said[key]))
    try:
        await ledger.prune_segment(tx, log, day, now)
    except (Conflict, NotFound):
        return
    if log == "access":
        for some in _pieces(aside["reason_id"]):
            await tx.write(delete(_REASONS).where(_REASONS.c.id.in_(some)))
        began, ended = span(day)
        await tx.write(delete(_REASONS).where(_REASONS.c.at >= began, _REASONS.c.at < ended))
    if log == "erasure":
        for some in _pieces(aside["receipt_id"]):
            await tx.write(delete(_RECEIPTS).where(_RECEIPTS.c.id.in_(some)))
        # A day of grace: the entry may be of the day before.
        destroyed = (_RECORDINGS.c.state == "destroyed") & (
            _RECORDINGS.c.destroyed_at < span(day)[1] + timedelta(days=1)
        )
        for some in _pieces(aside["rec_id"]):
            await tx.write(delete(_RECORDINGS).where(_RECORDINGS.c.id.in_(some), destroyed))


async def left(tx: Tx, kind: str, day: str) -> int:
    """Leaves, and typed reasons of that day, that are still there."""
    leaves = await tx.row(select(func.count().label("n")).where(_E.c.log == KINDS[kind], _E.c.day == day))
    began, ended = span(day)
    typed = await tx.row(select(func.count().label("n")).where(_REASONS.c.at >= began, _REASONS.c.at < ended))
    counted = (leaves, typed) if kind == "access_day" else (leaves,)
    return sum(row["n"] for row in counted if row is not None)


async def _needed(tx: Tx, days: Sequence[str], first_seqs: Sequence[int]) -> set[str]:
    """Days that a recording that is not destroyed, or a consent to be contacted, rests on."""
    needed: set[str] = set()
    last = span(days[-1])[1] + timedelta(days=2)  # a recording begins soon after its consent
    living = _RECORDINGS.c.state != "destroyed"
    rows = await tx.rows(select(_RECORDINGS.c.consent_refs).where(living, _RECORDINGS.c.started_at < last))
    for row in rows:
        for seq in row["consent_refs"] or ():
            at = bisect_right(first_seqs, seq) - 1
            if at >= 0:
                needed.add(days[at])
    consents = tables.contact_consents.c.id
    for day in days:
        ids = [str(said["consent_id"]) async for said in bodies(tx, "consent", day) if "consent_id" in said]
        for some in _pieces(ids):
            if await tx.row(select(consents).where(consents.in_(some)).limit(1)) is not None:
                needed.add(day)
    return needed


async def bodies(tx: Tx, log: str, day: str) -> AsyncIterator[Mapping[str, object]]:
    after = 0
    while found := await ledger.entries(tx, log, after_seq=after, limit=_AT_ONCE, day=day):
        for entry in found:
            yield json.loads(entry.body)
        after = found[-1].seq


def span(day: str) -> tuple[datetime, datetime]:
    began = datetime.combine(date.fromisoformat(day), time(), UTC)
    return began, began + timedelta(days=1)


def _pieces(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + _IN_ONE] for start in range(0, len(ids), _IN_ONE)]
