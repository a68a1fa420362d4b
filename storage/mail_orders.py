"""Who ordered a text by mail, for as long as it may still fail: they are told then.

What the mail said of itself is sealed; the words of the text are not here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import delete, insert, not_, select

from storage import tables
from storage.tx import Tx

_T, _SENT = tables.mail_orders, tables.sms_sent
KEPT = timedelta(days=7)  # whoever wrote knows by then that no answer came
FAILED = ("undelivered", "expired", "rejected", "failed", "refused")
_GOOD = ("delivered", "cancelled")


@dataclass(frozen=True, slots=True)
class Ordered:
    """`number`: as the sender wrote it. `language`: "en" or "fr", of the report."""

    login_id: str
    mail_from: str = field(repr=False)
    message_id: str = field(repr=False)
    number: str = field(repr=False)
    language: str = "en"


@dataclass(frozen=True, slots=True)
class FailedOrder:
    """`state`: of the text, one of FAILED."""

    text_id: str
    state: str
    ordered: Ordered
    arrived_at: datetime


async def add(tx: Tx, text_id: str, ordered: Ordered, now: datetime) -> None:
    """In the transaction that takes the text. Raises `Duplicate`."""
    about = {
        "mail_from": ordered.mail_from,
        "message_id": ordered.message_id,
        "number": ordered.number,
        "language": ordered.language,
    }
    sealed = tx.keys.seal_text("mail_orders", "about", text_id, json.dumps(about, ensure_ascii=False))
    values = {"id": text_id, "login_id": ordered.login_id, "about_sealed": sealed}
    await tx.write(insert(_T).values(**values, arrived_at=now, expires_at=now + KEPT))


async def failed(tx: Tx, limit: int, besides: Sequence[str] = ()) -> tuple[FailedOrder, ...]:
    """Those whose text has failed, the oldest first; without the ones of the texts `besides`."""
    joined = select(_T, _SENT.c.state).join(_SENT, _SENT.c.id == _T.c.id).where(_SENT.c.state.in_(FAILED))
    rows = await tx.rows(joined.where(_T.c.id.not_in(list(besides))).order_by(_T.c.arrived_at, _T.c.id).limit(limit))
    found = []
    for row in rows:
        about = json.loads(tx.keys.open_text("mail_orders", "about", row["id"], row["about_sealed"]))
        found.append(FailedOrder(row["id"], row["state"], Ordered(row["login_id"], **about), row["arrived_at"]))
    return tuple(found)


async def over(tx: Tx, limit: int) -> tuple[str, ...]:
    """Ids of those of whom nobody need be told: their text has arrived, was called back, or is gone."""
    open_ = select(_SENT.c.id).where(_SENT.c.id == _T.c.id, _SENT.c.state.not_in(_GOOD)).exists()
    return tuple(row["id"] for row in await tx.rows(select(_T.c.id).where(not_(open_)).limit(limit)))


async def settle(tx: Tx, ids: Sequence[str]) -> None:
    """Forget these: they were told, or need not be."""
    await tx.write(delete(_T).where(_T.c.id.in_(list(ids))))
