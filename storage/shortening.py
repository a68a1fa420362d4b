"""What is kept longer than a policy says now: found, and given an earlier expiry. Never a later one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, ColumnElement, func, select, type_coerce, update

from storage import tables
from storage.errors import Invalid
from storage.tx import Tx

KINDS = ("recording", "call_record")
_R, _C = tables.recordings, tables.call_records


@dataclass(frozen=True, slots=True)
class Kept:
    """`began`: from when its period runs: a recording's end, a call's start as exact as its class allows."""

    item_id: str
    began: datetime
    expires_at: datetime


async def longer_than(tx: Tx, kind: str, label: str, length: timedelta, *, limit: int) -> tuple[Kept, ...]:
    """Those that are kept for longer. `label`: purpose of recordings, class of call records. Raises `Invalid`."""
    most = length // timedelta(microseconds=1)
    began: ColumnElement[datetime]
    match kind:
        case "recording":
            began, table = func.coalesce(_R.c.ended_at, _R.c.started_at), _R
            rows = select(_R.c.id, began.label("began"), _R.c.expires_at)
            rows = rows.where(_R.c.purpose == label, _R.c.state.not_in(("destroyed", "recording")))
        case "call_record":
            began, table = _C.c.at, _C
            rows = select(_C.c.id, began.label("began"), _C.c.expires_at).where(_C.c.metadata_class == label)
        case _:
            raise Invalid("kind", f"is not one of {', '.join(KINDS)}")
    rows = rows.where(_micros(table.c.expires_at) - _micros(began) > most)
    return tuple(Kept(row["id"], row["began"], row["expires_at"]) for row in await tx.rows(rows.limit(limit)))


def _micros(column: ColumnElement[datetime]) -> ColumnElement[int]:
    return type_coerce(column, BigInteger)


async def shorten(tx: Tx, kind: str, expiries: Mapping[str, datetime]) -> int:
    """By item id; one that would be later stays as it is. How many changed. Raises `Invalid`."""
    if kind not in KINDS:
        raise Invalid("kind", f"is not one of {', '.join(KINDS)}")
    table, changed = (_R if kind == "recording" else _C), 0
    for item_id, expires_at in expiries.items():
        earlier = update(table).where(table.c.id == item_id, table.c.expires_at > expires_at)
        changed += await tx.write(earlier.values(expires_at=expires_at))
    return changed
