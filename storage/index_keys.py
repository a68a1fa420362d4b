"""The keys by which numbers are found: random, by version, sealed by the field key, so that an old one can go.

What is written is under the newest; what is searched for, under every version that lives. A transaction keeps to the
keys that it has read. On PostgreSQL it holds a shared lock meanwhile, and `barrier` waits for all that hold one: after
it nobody writes under the old keys any more, and nobody searches without the new one. SQLite has one writer, and its
readers one view.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select, text

from storage import tables
from storage.errors import Unavailable
from storage.tx import Tx

_T = tables.index_keys
_BYTES = 32
_LOCK = 0x62656669  # PostgreSQL advisory lock
_SHARED = text("SELECT pg_advisory_xact_lock_shared(:lock)").bindparams(lock=_LOCK)
_EXCLUSIVE = text("SELECT pg_try_advisory_xact_lock(:lock) AS got").bindparams(lock=_LOCK)
_TRIES, _PAUSE_S = 1000, 0.01
_MEMO = "index keys"


@dataclass(frozen=True, slots=True)
class IndexKey:
    version: int
    created_at: datetime


async def known(tx: Tx) -> Mapping[int, bytes]:
    """Version to secret, the newest first."""
    found: dict[int, bytes] | None = tx.memo.get(_MEMO)
    if found is None:
        await hold_still(tx)
        found = {
            row["version"]: tx.keys.open("index_keys", "secret", str(row["version"]), row["secret_sealed"])
            for row in await tx.rows(select(_T).order_by(_T.c.version.desc()))
        }
        tx.memo[_MEMO] = found
    return found


async def hold_still(tx: Tx) -> None:
    """No `barrier` passes until this transaction ends."""
    if tx.writable and tx.conn.dialect.name == "postgresql":
        await tx.rows(_SHARED)


async def barrier(tx: Tx) -> None:
    """Wait until every transaction that has read keys is over; in a transaction of its own, which does nothing else. It
    asks again and again and never queues, so that it stands in nobody's way. Raises `Unavailable` after some seconds.
    """
    if tx.conn.dialect.name != "postgresql":
        return
    for _ in range(_TRIES):
        row = await tx.row(_EXCLUSIVE)
        if row is not None and row["got"]:
            return
        await asyncio.sleep(_PAUSE_S)
    raise Unavailable("somebody is always writing: the keys of the index wait for a moment of rest")


async def add(tx: Tx, now: datetime) -> int:
    """A new key for whatever is written from now on; its version. The first is above those of the field key, which
    numbers were indexed by before."""
    version = max(await known(tx), default=tx.keys.current) + 1
    secret = secrets.token_bytes(_BYTES)
    sealed = tx.keys.seal("index_keys", "secret", str(version), secret)
    await tx.write(insert(_T).values(version=version, secret_sealed=sealed, created_at=now))
    tx.memo.pop(_MEMO)
    return version


async def list_all(tx: Tx) -> tuple[IndexKey, ...]:
    """Oldest first."""
    rows = await tx.rows(select(_T.c.version, _T.c.created_at).order_by(_T.c.version))
    return tuple(IndexKey(row["version"], row["created_at"]) for row in rows)


async def destroy(tx: Tx, version: int) -> None:
    """Then empty the log: `Database.checkpoint_truncate`. Twice is no error."""
    await tx.write(delete(_T).where(_T.c.version == version))
    tx.memo.pop(_MEMO, None)


def value(version: int, secret: bytes, number: str) -> bytes:
    """`version (2) ‖ HMAC-SHA256(secret, number)`."""
    return version.to_bytes(2, "big") + hmac.digest(secret, b"number\0" + number.encode(), hashlib.sha256)
