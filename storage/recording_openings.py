"""Which entries of the access log say that a recording was opened: a handful each, found without reading the log."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import insert, select

from storage import tables
from storage.tx import Tx

_T, _E = tables.recording_openings, tables.ledger_entries
_IN_ONE = 400


async def add(tx: Tx, rec_id: str, seq: int) -> None:
    """Raises `Conflict` for a recording that is not there."""
    await tx.write(insert(_T).values(recording_id=rec_id, seq=seq))


async def of(tx: Tx, rec_ids: Collection[str]) -> dict[str, list[Mapping[str, Any]]]:
    """The entries of each, the newest first, as far as the log still has them."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    ids = sorted(rec_ids)
    for start in range(0, len(ids), _IN_ONE):
        both = _T.join(_E, (_E.c.log == "access") & (_E.c.seq == _T.c.seq))
        wanted = select(_T.c.recording_id, _E.c.seq, _E.c.body).select_from(both)
        some = _T.c.recording_id.in_(ids[start : start + _IN_ONE])
        for row in await tx.rows(wanted.where(some).order_by(_E.c.seq.desc())):
            found.setdefault(row["recording_id"], []).append(json.loads(row["body"]))
    return found


async def times(tx: Tx, rec_ids: Collection[str]) -> int:
    """How often these were opened or exported; that one was closed again counts for nothing."""
    return sum(entry["action"] != "listen" for one in (await of(tx, rec_ids)).values() for entry in one)
