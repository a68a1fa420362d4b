"""Looks at personal data: who, what, when, from where, why. One entry of the "access" log each.

The typed reason is free text and may name people: it is sealed here, and the ledger holds its id and keyed digest, so
that it can be erased without breaking the log, and not be exchanged for another.
"""

import hmac
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import delete, insert, select

from storage import ledger, tables
from storage.errors import NotFound
from storage.ids import new_id
from storage.ledger import Entry
from storage.ledger_payload import Value
from storage.tx import Tx

_T = tables.access_reasons
_PURPOSE = "access reason"


async def record(
    tx: Tx,
    *,
    actor_id: str,
    action: str,
    now: datetime,
    reason: str | None = None,
    details: Mapping[str, Value | None] | None = None,
) -> Entry:
    """`actor_id`: person id, or "system"; `action`: of `ledger_payload.ACTIONS`; `details`: further allowed keys
    ("rec_id", "purpose", "outcome", "workstation"...). Raises `LedgerRefused`.
    """
    payload: dict[str, Value | None] = {**(details or {}), "actor_id": actor_id, "action": action}
    if reason is not None:
        reason_id = new_id()
        sealed = tx.keys.seal_text("access_reasons", "reason", reason_id, reason)
        await tx.write(insert(_T).values(id=reason_id, reason_sealed=sealed, at=now))
        payload |= {"reason_id": reason_id, "reason_digest": _digests(tx, reason_id, reason)[0]}
    return await ledger.append(tx, "access", payload, now)


async def reason(tx: Tx, reason_id: str) -> str:
    """For auditors. Raises `NotFound` once erased."""
    row = await tx.row(select(_T.c.reason_sealed).where(_T.c.id == reason_id))
    if row is None:
        raise NotFound("reason", reason_id)
    return tx.keys.open_text("access_reasons", "reason", reason_id, row["reason_sealed"])


def reason_matches(tx: Tx, reason_id: str, text: str, reason_digest: str) -> bool:
    """Whether the ledger's digest was made of this reason, under any key version that is kept."""
    return any(hmac.compare_digest(one, reason_digest) for one in _digests(tx, reason_id, text))


async def is_kept(tx: Tx, reason_id: str) -> bool:
    return await tx.row(select(_T.c.id).where(_T.c.id == reason_id)) is not None


async def erase(tx: Tx, reason_id: str) -> None:
    """One that no entry names; the others go with their day (`storage.log_days`). Through the deletion gate only."""
    await tx.write(delete(_T).where(_T.c.id == reason_id))


def _digests(tx: Tx, reason_id: str, text: str) -> tuple[str, ...]:
    """64 hexadecimal characters each, newest key first; without the version bytes, for the ledger's shape of hash."""
    return tuple(one[2:].hex() for one in tx.keys.blind_index_all_versions(_PURPOSE, f"{reason_id}\0{text}"))
