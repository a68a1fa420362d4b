"""How calls went, in technical facts: verdicts, figures, a ladder without names. Kept for some days.

The caller has already left out what the call's metadata class does not allow. The facts lie sealed like everything
about a call; what has expired is shown to nobody, whether it has been swept away or not.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, delete, insert, select

from storage import tables
from storage.errors import NotFound
from storage.ids import require
from storage.tx import Tx
from storage.types import canonical_json

_VERDICT = re.compile(r"[a-z][a-z-]{1,40}")
_T = tables.call_diagnoses
_FEW = 100
_IN_ONE = 500  # ids in one statement


@dataclass(frozen=True, slots=True)
class CallDiagnosis:
    call_id: str
    at: datetime  # start of the call, as exact as its class allows
    expires_at: datetime
    verdict: str  # the most important one (config.verdicts)
    mos_centi: int | None  # 100 times the lowest mean opinion score; None where nothing was measured
    facts: Mapping[str, Any]  # JSON values; nothing that names anybody


async def add(tx: Tx, diagnosis: CallDiagnosis) -> None:
    """Raises `Duplicate("call_id")`, `Invalid` for a verdict that is no word."""
    require("verdict", diagnosis.verdict, _VERDICT)
    await tx.write(
        insert(_T).values(
            call_id=diagnosis.call_id,
            at=diagnosis.at,
            expires_at=diagnosis.expires_at,
            verdict=diagnosis.verdict,
            mos_centi=diagnosis.mos_centi,
            facts_sealed=tx.keys.seal(
                "call_diagnoses", "facts", diagnosis.call_id, canonical_json(dict(diagnosis.facts))
            ),
        )
    )


async def get(tx: Tx, call_id: str, now: datetime) -> CallDiagnosis:
    """Raises `NotFound`, also for what has expired."""
    row = await tx.row(select(_T).where(_T.c.call_id == call_id, _T.c.expires_at > now))
    if row is None:
        raise NotFound("diagnosis", call_id)
    return _diagnosis(tx, row)


async def list_all(tx: Tx, now: datetime, *, limit: int | None = None) -> tuple[CallDiagnosis, ...]:
    """Newest first, without what has expired."""
    wanted = select(_T).where(_T.c.expires_at > now).order_by(_T.c.at.desc(), _T.c.call_id).limit(limit)
    return tuple(_diagnosis(tx, row) for row in await tx.rows(wanted))


async def of_calls(tx: Tx, call_ids: Sequence[str], now: datetime) -> tuple[CallDiagnosis, ...]:
    """Those of these calls, in the order of the ids, without what has expired."""
    found: dict[str, CallDiagnosis] = {}
    for start in range(0, len(call_ids), _IN_ONE):
        some = _T.c.call_id.in_(call_ids[start : start + _IN_ONE])
        rows = await tx.rows(select(_T).where(some, _T.c.expires_at > now))
        found |= {row["call_id"]: _diagnosis(tx, row) for row in rows}
    return tuple(found[call_id] for call_id in call_ids if call_id in found)


async def oldest(tx: Tx, now: datetime) -> datetime | None:
    """When the first call began of which something is known; None: there is none."""
    wanted = select(_T.c.at).where(_T.c.expires_at > now).order_by(_T.c.at).limit(1)
    row = await tx.row(wanted)
    return None if row is None else row["at"]


async def beginning_with(tx: Tx, prefix: str, now: datetime) -> tuple[str, ...]:
    """Ids of the calls whose id begins so, a few at most: more than one is too many."""
    wanted = select(_T.c.call_id).where(_T.c.call_id.startswith(prefix, autoescape=True), _T.c.expires_at > now)
    return tuple(row["call_id"] for row in await tx.rows(wanted.limit(_FEW)))


async def scores(tx: Tx, call_ids: Iterable[str], now: datetime) -> dict[str, int]:
    """100 times the mean opinion score, of those of these calls where it is known."""
    ids = list(call_ids)
    found: dict[str, int] = {}
    for start in range(0, len(ids), _IN_ONE):
        some = _T.c.call_id.in_(ids[start : start + _IN_ONE])
        rows = await tx.rows(select(_T.c.call_id, _T.c.mos_centi).where(some, _T.c.expires_at > now))
        found |= {row["call_id"]: row["mos_centi"] for row in rows if row["mos_centi"] is not None}
    return found


async def expired(tx: Tx, now: datetime) -> tuple[str, ...]:
    """Call ids of what should be gone by now, oldest expiry first."""
    rows = await tx.rows(select(_T.c.call_id).where(_T.c.expires_at <= now).order_by(_T.c.expires_at))
    return tuple(row["call_id"] for row in rows)


async def remove(tx: Tx, call_id: str) -> bool:
    """Whether there was one."""
    return bool(await tx.write(delete(_T).where(_T.c.call_id == call_id)))


def _diagnosis(tx: Tx, row: RowMapping) -> CallDiagnosis:
    facts = json.loads(tx.keys.open("call_diagnoses", "facts", row["call_id"], row["facts_sealed"]))
    return CallDiagnosis(row["call_id"], row["at"], row["expires_at"], row["verdict"], row["mos_centi"], facts)
