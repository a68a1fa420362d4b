"""Keys of texts that were sent, wrapped to the key of the week of their inbox; and who opens what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime

from sqlalchemy import insert, select

from storage import tables
from storage.errors import NotFound
from storage.tx import Tx

_T, _SENT, _WRAPS = tables.sms_keys, tables.sms_sent, tables.kek_wraps


@dataclass(frozen=True, slots=True)
class SentKey:
    id: str
    purpose: str
    kek_id: str
    wrap: bytes = field(repr=False)
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SealedSent:
    """What a reader opens of a text that was sent."""

    id: str
    key_id: str
    purpose: str
    kek_id: str
    wrap: bytes = field(repr=False)
    body_sealed: bytes = field(repr=False)


async def add(tx: Tx, key: SentKey) -> None:
    """Raises `Conflict` for a KEK that is not there, `Duplicate`."""
    await tx.write(insert(_T).values(**asdict(key)))


async def bodies(tx: Tx, message_ids: Sequence[str]) -> tuple[SealedSent, ...]:
    """Of those whose words are kept, in the order asked for."""
    columns = (_SENT.c.id, _T.c.id, _T.c.purpose, _T.c.kek_id, _T.c.wrap, _SENT.c.body_sealed)
    found: dict[str, SealedSent] = {}
    for at in range(0, len(message_ids), 400):
        some = list(message_ids[at : at + 400])
        wanted = select(*columns).join(_T, _T.c.id == _SENT.c.key_id).where(_SENT.c.id.in_(some))
        found |= {row[0]: SealedSent(*row) for row in await tx.tuples(wanted.where(_SENT.c.body_sealed.is_not(None)))}
    return tuple(found[one] for one in message_ids if one in found)


async def kek_wraps(tx: Tx, kek_ids: Sequence[str], reader_id: str) -> dict[str, bytes]:
    """Of these KEKs, those that were wrapped to that reader."""
    mine = select(_WRAPS.c.kek_id, _WRAPS.c.blob).where(_WRAPS.c.reader_id == reader_id)
    found: dict[str, bytes] = {}
    for at in range(0, len(kek_ids), 400):
        rows = await tx.tuples(mine.where(_WRAPS.c.kek_id.in_(list(kek_ids[at : at + 400]))))
        found |= {row[0]: row[1] for row in rows}
    return found


async def get(tx: Tx, key_id: str) -> SentKey:
    """Raises `NotFound`."""
    row = await tx.row(select(_T).where(_T.c.id == key_id))
    if row is None:
        raise NotFound("key of texts", key_id)
    return SentKey(**row)
