"""Emergency calls and drills: that there was one, how it ended, who was told. Never what was said.

The number that was shown to the service is kept as a keyed digest: enough to know the service when it calls back.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping, delete, insert, select, update

from storage import tables
from storage.errors import NotFound
from storage.ids import require
from storage.numbers import digest, digests
from storage.tx import Tx

_NUMBER = re.compile(r"[0-9*#]{2,6}")
_OUTCOME = re.compile(r"[a-z][a-z-]{0,31}")
_T = tables.emergency_calls


@dataclass(frozen=True, slots=True)
class EmergencyCall:
    id: str  # of the call
    at: datetime
    account_id: str | None  # None: not known, or removed since
    number: str  # the service's: "112"
    trunk_id: str | None  # that carried it
    drill: bool
    outcome: str  # "running" until `finish`
    reported_to: tuple[str, ...]  # account ids


async def add(tx: Tx, call: EmergencyCall, *, presented: str | None = None) -> EmergencyCall:
    """`presented`: number that the service sees (E.164, or extension). Raises `Duplicate("id")`, `Invalid`."""
    await tx.write(
        insert(_T).values(
            id=call.id,
            at=call.at,
            account_id=call.account_id,
            number=require("number", call.number, _NUMBER),
            trunk_id=call.trunk_id,
            drill=call.drill,
            outcome=require("outcome", call.outcome, _OUTCOME),
            reported_to=list(call.reported_to),
            presented_digest=None if presented is None else await digest(tx, presented),
        )
    )
    return call


async def finish(
    tx: Tx, call_id: str, outcome: str, *, trunk_id: str | None = None, reported_to: Iterable[str] | None = None
) -> EmergencyCall:
    """How it ended; which trunk carried it and who was told, where that is known now. Raises `NotFound`, `Invalid`."""
    values: dict[str, object] = {"outcome": require("outcome", outcome, _OUTCOME)}
    if trunk_id is not None:
        values["trunk_id"] = trunk_id
    if reported_to is not None:
        values["reported_to"] = list(reported_to)
    if not await tx.write(update(_T).where(_T.c.id == call_id).values(**values)):
        raise NotFound("emergency call", call_id)
    return await get(tx, call_id)


async def get(tx: Tx, call_id: str) -> EmergencyCall:
    """Raises `NotFound`."""
    row = await tx.row(select(_T).where(_T.c.id == call_id))
    if row is None:
        raise NotFound("emergency call", call_id)
    return _call(row)


async def latest_of_presented(tx: Tx, e164: str, since: datetime) -> EmergencyCall | None:
    """The newest real one (no drill) since then that showed this number: whom a call-back is for."""
    shown = _T.c.presented_digest.in_(await digests(tx, e164)) & (_T.c.at >= since) & _T.c.drill.is_(False)
    row = await tx.row(select(_T).where(shown).order_by(_T.c.at.desc(), _T.c.id).limit(1))
    return None if row is None else _call(row)


async def list_all(tx: Tx, *, limit: int | None = None) -> tuple[EmergencyCall, ...]:
    """Newest first, drills included."""
    return tuple(_call(row) for row in await tx.rows(select(_T).order_by(_T.c.at.desc(), _T.c.id).limit(limit)))


async def remove(tx: Tx, call_id: str) -> bool:
    """Whether there was one."""
    return bool(await tx.write(delete(_T).where(_T.c.id == call_id)))


async def release(tx: Tx, account_id: str) -> None:
    """The account goes: that there was a call stays, not whose."""
    await tx.write(update(_T).where(_T.c.account_id == account_id).values(account_id=None))


def _call(row: RowMapping) -> EmergencyCall:
    fields = {name: row[name] for name in EmergencyCall.__slots__ if name != "reported_to"}
    return EmergencyCall(reported_to=tuple(row["reported_to"]), **fields)
