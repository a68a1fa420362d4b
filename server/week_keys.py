"""Keys of purpose and week (KEK): made when the week or the set of readers has changed, wrapped, and forgotten.

The daemon makes each pair, wraps its secret to whoever may read that purpose and to escrow, and keeps no copy.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recording import keys as key_tools
from storage import keys, ledger, readers
from storage.database import Database
from storage.keys import Kek, KekWrap

log = logging.getLogger(__name__)

LIFE = timedelta(days=7)


class NobodyReads(Exception):
    """Nobody has the right to open what would be sealed."""


class WeekKeys:
    """Gives the KEK that something is sealed to now. One for each use of it in a process."""

    def __init__(self, database: Database, signing: Ed25519PrivateKey, *, escrow_alone: bool = False) -> None:
        """`escrow_alone`: where nobody may read, escrow alone can; else `NobodyReads`."""
        self._database = database
        self._signing = signing
        self._escrow_alone = escrow_alone
        self._lock = asyncio.Lock()

    async def current(self, purpose: str, now: datetime) -> Kek:
        """The KEK of this purpose and week. Raises NobodyReads, StorageError."""
        async with self._lock:
            async with self._database.read() as tx:
                kek = await keys.current_kek(tx, purpose, now)
                wanted = {key.person_id for key in await readers.for_purpose(tx, purpose)} | {readers.ESCROW}
                if kek is not None and {w.reader_id for w in await keys.kek_wraps(tx, kek.id)} == wanted:
                    return kek
            return await self._make(purpose, now)

    async def _make(self, purpose: str, now: datetime) -> Kek:
        async with self._database.transaction() as tx:
            listeners = await readers.for_purpose(tx, purpose)
            if not listeners and not self._escrow_alone:
                raise NobodyReads(f"nobody has the right to listen to {purpose}: grant it to a reader first")
            escrow = await readers.get_escrow(tx)
            public, secret = key_tools.generate_kek()
            kek_id = secrets.token_hex(16)
            kek = Kek(
                id=kek_id,
                purpose=purpose,
                period=_period(now, [k.period for k in await keys.list_keks(tx, purpose)]),
                alg=key_tools.algorithm(public),
                public=public,
                signature=key_tools.sign_kek(kek_id, purpose, public, self._signing),
                created_at=now,
                not_after=_end_of_week(now),
            )
            recipients = [(reader.person_id, reader.public) for reader in listeners]
            recipients.append((readers.ESCROW, escrow.public))
            wraps = [_wrap(kek_id, reader_id, reader_public, secret) for reader_id, reader_public in recipients]
            del secret  # the daemon keeps no copy: from here on only readers and escrow open
            await keys.add_kek(tx, kek, wraps)
            await ledger.append(
                tx, "access", {"actor_id": "system", "action": "add", "object": "kek", "kek_id": kek_id}, now
            )
        log.info("a new key of the week for %s, wrapped to %d readers", purpose, len(wraps))
        return kek


def _end_of_week(now: datetime) -> datetime:
    monday = (now - timedelta(days=now.weekday())).replace(hour=0, minute=0, second=0, microsecond=0)
    return monday + LIFE


def _period(now: datetime, taken: list[str]) -> str:
    """ISO week and generation, such as 2026-W47.1."""
    year, week, _day = now.isocalendar()
    name = f"{year}-W{week:02d}"
    return f"{name}.{1 + sum(period.startswith(f'{name}.') for period in taken)}"


def _wrap(kek_id: str, reader_id: str, reader_public: bytes, secret: bytes) -> KekWrap:
    blob = key_tools.wrap_kek(secret, reader_public, kek_id=kek_id, reader_id=reader_id)
    return KekWrap(kek_id, reader_id, key_tools.algorithm(blob), blob)
