"""One key a month, under which the numbers of that month's calls are hashed once they are no longer kept in full.

Under the same month's key one number has one hash, so calls of that month can still be told to belong together. With
the key goes that too: nobody can make the hash again, of any number. The key is random and only sealed by the field
key. A hash is `"m" ‖ month ("2026-11") ‖ HMAC-SHA256(secret of that month, number)`.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, insert, select

from storage import tables
from storage.ids import require
from storage.tx import Tx

_T, _HASHES = tables.month_keys, tables.call_month_peers
_MONTH = re.compile(r"20[0-9]{2}-[01][0-9]")
_BYTES = 32
_MEMO = "month keys"


@dataclass(frozen=True, slots=True)
class MonthKey:
    month: str  # "2026-11", UTC
    created_at: datetime


async def digest(tx: Tx, month: str, number: str, now: datetime) -> bytes:
    """What to store; the month's key is made where there is none yet. Who hashes is alone (`Database.alone`)."""
    require("month", month, _MONTH)
    known = await _secrets(tx)
    if month not in known:
        secret = secrets.token_bytes(_BYTES)
        sealed = tx.keys.seal("month_keys", "secret", month, secret)
        await tx.write(insert(_T).values(month=month, secret_sealed=sealed, created_at=now))
        known[month] = secret
    return _value(month, known[month], number)


async def digests(tx: Tx, number: str) -> tuple[bytes, ...]:
    """What to search for: the number under every month's key that is kept."""
    return tuple(_value(month, secret, number) for month, secret in (await _secrets(tx)).items())


async def list_all(tx: Tx) -> tuple[MonthKey, ...]:
    """Oldest first."""
    rows = await tx.rows(select(_T.c.month, _T.c.created_at).order_by(_T.c.month))
    return tuple(MonthKey(row["month"], row["created_at"]) for row in rows)


async def hashes(tx: Tx, month: str) -> int:
    """How many hashes are under its key."""
    low = b"m" + month.encode()
    under = (_HASHES.c.digest >= low) & (_HASHES.c.digest < low + b"\xff" * 33)
    row = await tx.row(select(func.count().label("n")).select_from(_HASHES).where(under))
    return int(row["n"]) if row is not None else 0


async def destroy(tx: Tx, month: str) -> None:
    """Then empty the log: `Database.checkpoint_truncate`. Twice is no error."""
    await tx.write(delete(_T).where(_T.c.month == month))
    tx.memo.pop(_MEMO, None)


async def is_there(tx: Tx, month: str) -> bool:
    return await tx.row(select(_T.c.month).where(_T.c.month == month)) is not None


async def _secrets(tx: Tx) -> dict[str, bytes]:
    """Opened once in a transaction."""
    found: dict[str, bytes] | None = tx.memo.get(_MEMO)
    if found is None:
        found = {
            row["month"]: tx.keys.open("month_keys", "secret", row["month"], row["secret_sealed"])
            for row in await tx.rows(select(_T).order_by(_T.c.month.desc()))
        }
        tx.memo[_MEMO] = found
    return found


def _value(month: str, secret: bytes, number: str) -> bytes:
    return b"m" + month.encode() + hmac.digest(secret, b"month\0" + number.encode(), hashlib.sha256)
