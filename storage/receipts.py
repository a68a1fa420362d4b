"""Signed receipts of destruction. They hold opaque ids and a keyed commitment only, so they may lie in clear.

The erasure log names each by id and SHA-256: a receipt that was exchanged does not fit its entry any more.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import insert, select

from storage import tables
from storage.errors import NotFound
from storage.tx import Tx

_T = tables.receipts


@dataclass(frozen=True, slots=True)
class StoredReceipt:
    id: str
    body: str  # JSON, as it was signed (retention.receipt)
    at: datetime


async def add(tx: Tx, receipt_id: str, body: str, now: datetime) -> None:
    """Raises `Duplicate("id")`."""
    await add_all(tx, [StoredReceipt(receipt_id, body, now)])


async def add_all(tx: Tx, given: Sequence[StoredReceipt]) -> None:
    """Raises `Duplicate("id")`."""
    await tx.write_each(insert(_T), [asdict(receipt) for receipt in given])


async def get(tx: Tx, receipt_id: str) -> StoredReceipt:
    """Raises `NotFound`."""
    row = await tx.row(select(_T).where(_T.c.id == receipt_id))
    if row is None:
        raise NotFound("receipt", receipt_id)
    return StoredReceipt(**row)


async def list_all(tx: Tx, *, limit: int | None = None) -> tuple[StoredReceipt, ...]:
    """Newest first."""
    return tuple(StoredReceipt(**row) for row in await tx.rows(select(_T).order_by(_T.c.at.desc()).limit(limit)))
