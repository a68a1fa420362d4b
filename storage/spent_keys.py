"""Week keys and keys of holds that nothing needs any more.

A week's KEK has had its time when its week is over, no text is under it, and each recording under it is gone, or has
expired and is kept by the key of a legal hold. The KEK of a hold has had its time when the hold is lifted and each
recording under it has another key. So nothing that is kept ever loses its last key here.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, and_, exists, func, not_, or_, select

from storage import tables, text_expiry
from storage.keys import HOLD_PERIOD
from storage.tx import Tx

GRACE = timedelta(days=1)  # after the end of the week: what began just before it is listed by then
_K, _R, _H = tables.keks, tables.rec_keys, tables.held_keys
_RECORDINGS, _HOLDS = tables.recordings, tables.holds


async def until(tx: Tx, before: datetime, *, limit: int, skip: int = 0) -> Sequence[RowMapping]:
    """id, purpose, period, created_at, not_after of KEKs that are spent, oldest first."""
    wanted = _spent(before).order_by(_K.c.created_at, _K.c.id).limit(limit).offset(skip)
    return await tx.rows(wanted)


async def count(tx: Tx, before: datetime) -> int:
    row = await tx.row(select(func.count().label("n")).select_from(_spent(before).subquery()))
    return int(row["n"]) if row is not None else 0


async def is_spent(tx: Tx, kek_id: str, now: datetime) -> bool:
    """Asked again in the transaction that destroys it."""
    return await tx.row(_spent(now).where(_K.c.id == kek_id)) is not None


def _spent(before: datetime) -> Select[Any]:
    of_hold = _K.c.period.startswith(HOLD_PERIOD, autoescape=True)
    texts = text_expiry.under(_K.c.id)
    week = and_(not_(of_hold), _K.c.not_after <= before - GRACE, not_(_needed_under_week(before)), not_(texts))
    hold = and_(of_hold, _is_lifted(), not_(_needed_under_hold()))
    living = _K.c.destroyed_at.is_(None)
    return select(_K.c.id, _K.c.purpose, _K.c.period, _K.c.created_at, _K.c.not_after).where(living, or_(week, hold))


def _needed_under_week(before: datetime) -> ColumnElement[bool]:
    """A key under it whose recording has not expired, or that no key of a standing hold keeps."""
    kept = exists(
        select(_H.c.rec_id)
        .join(_HOLDS, _HOLDS.c.id == _H.c.hold_id)
        .where(_H.c.rec_id == _R.c.rec_id, _HOLDS.c.lifted_at.is_(None))
    )
    running = exists(
        select(_RECORDINGS.c.id).where(
            _RECORDINGS.c.id == _R.c.rec_id,
            or_(_RECORDINGS.c.expires_at > before, _RECORDINGS.c.state.not_in(("whole", "cut"))),
        )
    )
    return exists(select(_R.c.rec_id).where(_R.c.kek_id == _K.c.id, or_(running, not_(kept))))


def _is_lifted() -> ColumnElement[bool]:
    """The hold whose KEK it is stands no more (or its row is gone)."""
    stands = select(_HOLDS.c.id).where(_HOLDS.c.lifted_at.is_(None), _K.c.period == HOLD_PERIOD + _HOLDS.c.id)
    return not_(exists(stands))


def _needed_under_hold() -> ColumnElement[bool]:
    """A recording under it that has neither its week's key nor that of another hold that stands."""
    other = _H.alias("other")
    weekly = exists(select(_R.c.rec_id).where(_R.c.rec_id == _H.c.rec_id))
    elsewhere = exists(
        select(other.c.rec_id)
        .join(_HOLDS, _HOLDS.c.id == other.c.hold_id)
        .where(other.c.rec_id == _H.c.rec_id, other.c.kek_id != _H.c.kek_id, _HOLDS.c.lifted_at.is_(None))
    )
    return exists(select(_H.c.rec_id).where(_H.c.kek_id == _K.c.id, not_(or_(weekly, elsewhere))))
