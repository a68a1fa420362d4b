"""Requests to listen to what nobody opens alone: asked by one person, decided by another, used once.

open ──▶ approved | refused; approved ──▶ used. What was not decided or not used in time is over: `until` says so. From
then on the row is due: that somebody asked, and that somebody agreed, stands in the access log for its period.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import RowMapping, insert, select, update

from storage import recordings, tables
from storage.errors import Conflict, NotFound
from storage.ids import new_id, require_in
from storage.tx import Tx
from storage.types import canonical_json

OPEN, APPROVED, REFUSED, USED = "open", "approved", "refused", "used"
_T = tables.listening_requests


@dataclass(frozen=True, slots=True)
class Request:
    id: str
    recording_id: str
    person_id: str  # who wants to listen
    reason: str = field(repr=False)
    case: str = field(repr=False)
    state: str
    asked_at: datetime
    until: datetime
    decided_by: str | None
    decided_at: datetime | None


async def add(
    tx: Tx, rec_id: str, person_id: str, *, reason: str, case: str, now: datetime, until: datetime
) -> Request:
    """Raises `NotFound`, `Conflict` where the recording is not finished, or the person waits for a decision or may
    listen already."""
    present = await recordings.lock(tx, rec_id)
    if present.state not in ("whole", "cut"):
        raise Conflict(f"recording {rec_id} is {present.state}")
    if await standing(tx, rec_id, person_id, now) is not None:
        raise Conflict("that was asked for already")
    request_id = new_id()
    why = tx.keys.seal("listening_requests", "why", request_id, canonical_json({"reason": reason, "case": case}))
    row = {"id": request_id, "recording_id": rec_id, "person_id": person_id, "why_sealed": why, "state": OPEN}
    await tx.write(insert(_T).values(**row, asked_at=now, until=until))
    return await get(tx, request_id)


async def get(tx: Tx, request_id: str) -> Request:
    """Raises `NotFound`."""
    row = await tx.row(select(_T).where(_T.c.id == request_id))
    if row is None:
        raise NotFound("request", request_id)
    return _opened(tx, row)


async def standing(tx: Tx, rec_id: str, person_id: str, now: datetime) -> Request | None:
    """The newest of that person that is open or approved, and in time."""
    mine = (_T.c.recording_id == rec_id) & (_T.c.person_id == person_id)
    wanted = select(_T).where(mine, _T.c.state.in_((OPEN, APPROVED)), _T.c.until > now)
    row = await tx.row(wanted.order_by(_T.c.asked_at.desc()).limit(1))
    return None if row is None else _opened(tx, row)


async def list_all(
    tx: Tx, *, states: Collection[str], after: datetime | None = None, limit: int = 200
) -> tuple[Request, ...]:
    """Newest first; `after`: those that are still in time then."""
    wanted = select(_T).where(_T.c.state.in_(states)).order_by(_T.c.asked_at.desc(), _T.c.id).limit(limit)
    if after is not None:
        wanted = wanted.where(_T.c.until > after)
    return tuple(_opened(tx, row) for row in await tx.rows(wanted))


async def of_recording(tx: Tx, rec_id: str) -> tuple[Request, ...]:
    """Newest first."""
    rows = await tx.rows(select(_T).where(_T.c.recording_id == rec_id).order_by(_T.c.asked_at.desc(), _T.c.id))
    return tuple(_opened(tx, row) for row in rows)


async def decide(tx: Tx, request_id: str, state: str, decided_by: str, now: datetime, until: datetime) -> Request:
    """Once, in time, by somebody else. `until`: how long it may be used. Raises `NotFound`, `Conflict`, `Invalid`."""
    require_in("state", state, frozenset({APPROVED, REFUSED}))
    row = await tx.row(select(_T).where(_T.c.id == request_id).with_for_update())
    if row is None:
        raise NotFound("request", request_id)
    if row["person_id"] == decided_by:
        raise Conflict("nobody decides their own request")
    if row["state"] != OPEN or row["until"] <= now:
        raise Conflict("that request is decided or over")
    values = {"state": state, "decided_by": decided_by, "decided_at": now, "until": until}
    await tx.write(update(_T).where(_T.c.id == request_id).values(**values))
    return await get(tx, request_id)


async def use(tx: Tx, request_id: str, now: datetime) -> bool:
    """Once. Whether it was still good; it is over with that."""
    good = (_T.c.id == request_id) & (_T.c.state == APPROVED) & (_T.c.until > now)
    return bool(await tx.write(update(_T).where(good).values(state=USED, until=now)))


def _opened(tx: Tx, row: RowMapping) -> Request:
    why = json.loads(tx.keys.open("listening_requests", "why", row["id"], row["why_sealed"]))
    fields = {name: row[name] for name in Request.__slots__ if name not in ("reason", "case")}
    return Request(reason=why["reason"], case=why["case"], **fields)
