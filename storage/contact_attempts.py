"""Calls and attempts on behalf of canvassing lines: whom (a keyed index), by which line, when, what became of it.

No call id: who was called stays unknown to a call record that does not say it. Kept as long as the law counts them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, text, update

from storage import tables
from storage.ids import new_id, require_in
from storage.numbers import digest, digests, digests_of_many
from storage.tx import Tx

OUTCOMES = frozenset({"begun", "answered", "not_answered", "failed"})
_T = tables.contact_attempts
_LOCK = text("SELECT pg_advisory_xact_lock(:key)")
_LOCK_MANY = text("SELECT pg_advisory_xact_lock(key) FROM unnest(CAST(:keys AS bigint[])) AS each(key) ORDER BY key")


@dataclass(frozen=True, slots=True)
class Attempt:
    id: str
    line_id: str
    channel: str
    at: datetime
    outcome: str  # of OUTCOMES
    evidence: str  # id of the consent or reference that it rested on; "" where none was needed
    purpose: str
    legal_basis: str
    kept_until: datetime


async def lock(tx: Tx, number: str) -> None:
    """Nobody else decides about this number until the transaction ends: or two that call at once would both be the
    fourth. SQLite has one writer at a time anyway."""
    if tx.conn.dialect.name == "postgresql":
        # Under every key of the index: while one replaces another, two may not know the same newest.
        for key in sorted(int.from_bytes(one[2:10], "big", signed=True) for one in await digests(tx, number)):
            await tx.rows(_LOCK.bindparams(key=key))


async def lock_many(tx: Tx, numbers: Sequence[str]) -> None:
    """`lock` for many, in an order that is the same for everybody."""
    if tx.conn.dialect.name == "postgresql":
        keys = {int.from_bytes(one[2:10], "big", signed=True) for one in await digests_of_many(tx, numbers)}
        await tx.rows(_LOCK_MANY.bindparams(keys=sorted(keys)))


async def add(
    tx: Tx,
    number: str,
    *,
    line_id: str,
    channel: str,
    at: datetime,
    evidence: str,
    purpose: str,
    legal_basis: str,
    kept_until: datetime,
) -> Attempt:
    """Raises `Conflict` for a line that is not there."""
    made = Attempt(new_id(), line_id, channel, at, "begun", evidence, purpose, legal_basis, kept_until)
    values = {name: getattr(made, name) for name in made.__slots__}
    await tx.write(insert(_T).values(digest=await digest(tx, number), **values))
    return made


async def ended(tx: Tx, attempt_id: str, outcome: str) -> None:
    """What became of it. One that is gone already is none to write about."""
    require_in("outcome", outcome, OUTCOMES)
    await tx.write(update(_T).where(_T.c.id == attempt_id).values(outcome=outcome))


async def of_number(tx: Tx, number: str, channel: str | None = None) -> tuple[Attempt, ...]:
    """Of all lines, the oldest first."""
    which: list[Any] = [_T.c.digest.in_(await digests(tx, number))]
    if channel is not None:
        which.append(_T.c.channel == channel)
    rows = await tx.rows(select(_T).where(*which).order_by(_T.c.at))
    return tuple(Attempt(**{name: row[name] for name in Attempt.__slots__}) for row in rows)
