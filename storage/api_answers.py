"""What programs were answered that asked with an idempotency key: the same request is done once, and answered alike.

The id is a keyed digest of key and token. What was answered is sealed, and forgotten with the first sweep after a day.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import delete, insert, select, update

from storage import tables
from storage.tx import Tx

_T = tables.api_answers


@dataclass(frozen=True, slots=True)
class Kept:
    """`request`: digest of what was asked. `status` None: it was begun, and nobody knows more."""

    request: str
    status: int | None
    body: bytes = field(repr=False)


async def begin(tx: Tx, answer_id: str, request: str, now: datetime, kept_until: datetime) -> Kept | None:
    """None: it is begun now. Else what there is; what is too old counts no more. Raises `Duplicate` where somebody
    begins the same at this moment."""
    await tx.write(delete(_T).where(_T.c.id == answer_id, _T.c.kept_until <= now))
    row = await tx.row(select(_T).where(_T.c.id == answer_id))
    if row is not None:
        sealed = row["answer_sealed"]
        body = tx.keys.open("api_answers", "answer", answer_id, sealed) if sealed is not None else b""
        return Kept(row["request"], row["status"], body)
    await tx.write(insert(_T).values(id=answer_id, request=request, at=now, kept_until=kept_until))
    return None


async def finish(tx: Tx, answer_id: str, status: int, body: bytes | None) -> None:
    """`body` None: it is shown once, and not kept."""
    sealed = None if body is None else tx.keys.seal("api_answers", "answer", answer_id, body)
    await tx.write(update(_T).where(_T.c.id == answer_id).values(status=status, answer_sealed=sealed))


async def release(tx: Tx, answer_ids: Sequence[str]) -> None:
    """Nothing was done: it may be asked again."""
    await tx.write(delete(_T).where(_T.c.id.in_(answer_ids)))


async def forget(tx: Tx, now: datetime) -> int:
    """Those whose day is over; how many."""
    return await tx.write(delete(_T).where(_T.c.kept_until <= now))
