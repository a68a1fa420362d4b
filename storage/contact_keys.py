"""The key by which suppressed numbers are found: a list that says whom not to contact has to outlive all that is erased
elsewhere, keys included. So its key is random, is kept by version, and is only sealed by the field key.

An index value is `version (2) ‖ HMAC-SHA256(secret of that version, number)`.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, func, insert, select, update

from storage import index_keys, tables
from storage.tx import Tx

_T = tables.contact_keys
_BYTES = 32


async def index(tx: Tx, number: str, now: datetime) -> bytes:
    """What to store: under the newest key, which is made where there is none yet. `number`: E.164."""
    known = await _secrets(tx)
    version = max(known) if known else await _make(tx, 1, now)
    return _value(version, (known or await _secrets(tx))[version], number)


async def indexes(tx: Tx, number: str) -> tuple[bytes, ...]:
    """What to search for: the number under every key that there is."""
    return tuple(_value(version, secret, number) for version, secret in (await _secrets(tx)).items())


async def indexes_of_many(tx: Tx, numbers: Iterable[str]) -> dict[bytes, str]:
    """What to search for, with the number that each belongs to; the keys are opened once."""
    known = await _secrets(tx)
    return {_value(version, secret, number): number for number in numbers for version, secret in known.items()}


async def rotate(tx: Tx, now: datetime) -> int:
    """A new key for what is entered from now on; the old ones stay, for what they have indexed. Its version."""
    return await _make(tx, max(await _secrets(tx), default=0) + 1, now)


async def versions(tx: Tx) -> tuple[tuple[int, datetime], ...]:
    """Version and when it was made, oldest first."""
    rows = await tx.rows(select(_T.c.version, _T.c.created_at).order_by(_T.c.version))
    return tuple((row["version"], row["created_at"]) for row in rows)


async def left(tx: Tx, version: int) -> int:
    """How many suppressions are found by that key. The list holds no number, not even sealed: they stay under it."""
    low, high = version.to_bytes(2, "big"), (version + 1).to_bytes(2, "big")
    digests = tables.contact_suppressions.c.digest
    row = await tx.row(select(func.count().label("n")).where(digests >= low, digests < high))
    return int(row["n"]) if row is not None else 0


async def destroy(tx: Tx, version: int) -> None:
    """Then empty the log: `Database.checkpoint_truncate`. Twice is no error."""
    await tx.write(delete(_T).where(_T.c.version == version))


async def reseal(tx: Tx) -> int:
    """Seal all of them by the newest field key, before an older one goes. How many."""
    known = await _secrets(tx)
    for version, secret in known.items():
        sealed = _sealed(tx, version, secret)
        await tx.write(update(_T).where(_T.c.version == version).values(secret_sealed=sealed))
    return len(known)


async def _make(tx: Tx, version: int, now: datetime) -> int:
    secret = secrets.token_bytes(_BYTES)
    await tx.write(insert(_T).values(version=version, secret_sealed=_sealed(tx, version, secret), created_at=now))
    return version


async def _secrets(tx: Tx) -> dict[int, bytes]:
    await index_keys.hold_still(tx)
    return {
        row["version"]: tx.keys.open("contact_keys", "secret", str(row["version"]), row["secret_sealed"])
        for row in await tx.rows(select(_T).order_by(_T.c.version.desc()))
    }


def _sealed(tx: Tx, version: int, secret: bytes) -> bytes:
    return tx.keys.seal("contact_keys", "secret", str(version), secret)


def _value(version: int, secret: bytes, number: str) -> bytes:
    return version.to_bytes(2, "big") + hmac.digest(secret, b"suppression\0" + number.encode(), hashlib.sha256)
