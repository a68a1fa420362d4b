"""What is kept about one person, in counts: texts that came for them and that they wrote, and what they did on the
telephone when they were asked for consent."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, func, select

from storage import tables
from storage.tx import Tx

_IN_ONE = 400


@dataclass(frozen=True, slots=True)
class Counted:
    """So many things kept for one purpose, on one basis. `kind`: metadata class, or "sent" and "received"."""

    kind: str
    purpose: str
    legal_basis: str
    count: int
    first_at: datetime
    last_at: datetime
    next_expiry: datetime
    last_expiry: datetime


async def received(tx: Tx, inbox_ids: Collection[str]) -> tuple[Counted, ...]:
    """Texts that came into these inboxes."""
    table = tables.sms_received
    return await _counted(tx, "received", table, table.c.received_at, table.c.inbox_id.in_(inbox_ids))


async def written(tx: Tx, inbox_ids: Collection[str], authors: Collection[str]) -> tuple[Counted, ...]:
    """Texts that were sent from these inboxes by these authors (ids of a person and of accounts)."""
    table = tables.sms_sent
    where = table.c.inbox_id.in_(inbox_ids) & table.c.author_id.in_(authors)
    return await _counted(tx, "sent", table, table.c.created_at, where)


async def _counted(
    tx: Tx, kind: str, table: Table, at: ColumnElement[datetime], where: ColumnElement[bool]
) -> tuple[Counted, ...]:
    by = (table.c.purpose, table.c.legal_basis)
    wanted = select(*by, *counts(table, at)).where(where).group_by(*by).order_by(*by)
    return tuple(Counted(kind, *row) for row in await tx.tuples(wanted))


def counts(table: Table, at: ColumnElement[datetime]) -> Sequence[ColumnElement[Any]]:
    """What `Counted` tells of a group, after its purpose and basis."""
    ends = table.c.expires_at
    return (func.count(), func.min(at), func.max(at), func.min(ends), func.max(ends))


async def acts(tx: Tx, seqs: Collection[int]) -> dict[int, Mapping[str, Any]]:
    """These entries of the consent log, as far as it still has them."""
    found: dict[int, Mapping[str, Any]] = {}
    wanted, entries = sorted(seqs), tables.ledger_entries
    for start in range(0, len(wanted), _IN_ONE):
        some = entries.c.seq.in_(wanted[start : start + _IN_ONE])
        for row in await tx.rows(select(entries.c.seq, entries.c.body).where(entries.c.log == "consent", some)):
            found[row["seq"]] = json.loads(row["body"])
    return found
