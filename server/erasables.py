"""Many things of one kind before the deletion gate: recordings, and rows that have no key of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from recording import vault
from retention.gate import Remains
from storage import expiry, holds, keys, recordings
from storage.database import Database
from storage.errors import NotFound

ROWS_AT_ONCE = 250  # in one transaction: some milliseconds in which no call can write
RECORDINGS_AT_ONCE = 25
DEAD_ROWS = "dead_rows_until_vacuum"  # PostgreSQL
PAUSE_S = 0.02  # between transactions, for whoever waits to write
TABLES: Mapping[str, tuple[str, ...]] = {
    "call_record": ("call_peers", "call_records"),
    "diagnosis": ("call_diagnoses",),
    "usage": ("usage",),
    "emergency_call": ("emergency_calls",),
    "contact_consent": ("contact_consents",),
    "contact_reference": ("contact_references",),
    "contact_attempt": ("contact_attempts",),
}


class Rows:
    """Fills ``retention.gate.ErasableTogether`` for the kinds of TABLES."""

    def __init__(self, database: Database, kind: str) -> None:
        self._database = database
        self._kind = kind

    async def destroy_keys(self, item_ids: Sequence[str]) -> Sequence[str]:
        """The rows with their index; they were sealed with the database's own key."""
        gone: list[str] = []
        for some in _pieces(item_ids, ROWS_AT_ONCE):
            async with self._database.transaction() as tx:
                await holds.lock(tx)
                there = await expiry.left(tx, self._kind, some)
                held = await holds.on(tx, self._kind, some)
                free = [item_id for item_id in some if item_id not in held or item_id not in there]
                await expiry.remove(tx, self._kind, free)
            gone += free
            await asyncio.sleep(PAUSE_S)
        return gone

    async def remove_bytes(self, item_ids: Sequence[str]) -> tuple[str, ...]:
        return await self._database.forget_rows(*TABLES[self._kind]) if item_ids else ()

    async def remains(self, item_ids: Sequence[str]) -> Mapping[str, Remains]:
        async with self._database.read() as tx:
            left = await expiry.left(tx, self._kind, item_ids)
        return {item_id: Remains(index_entries=left.get(item_id, 0)) for item_id in item_ids}


class Recordings:
    """Fills ``retention.gate.ErasableTogether`` for recordings."""

    def __init__(self, database: Database, vault_dir: Path, now: datetime) -> None:
        self._database = database
        self._vault_dir = vault_dir
        self._now = now

    async def destroy_keys(self, item_ids: Sequence[str]) -> Sequence[str]:
        """The only wrap of each DEK, and what describes the recording."""
        gone: list[str] = []
        for some in _pieces(item_ids, RECORDINGS_AT_ONCE):
            async with self._database.transaction() as tx:
                await holds.lock(tx)
                held = await holds.on(tx, "recording", some)
                for item_id in some:
                    with suppress(NotFound):
                        if item_id in held and (await recordings.get(tx, item_id)).state != "destroyed":
                            continue
                        await recordings.destroy(tx, item_id, self._now)
                    gone.append(item_id)
            await asyncio.sleep(PAUSE_S)
        if gone:
            await self._database.checkpoint_truncate()
        return gone

    async def remove_bytes(self, item_ids: Sequence[str]) -> tuple[str, ...]:
        for item_id in item_ids:
            await asyncio.to_thread(vault.remove, self._vault_dir, item_id)
        return () if self._database.is_sqlite else (DEAD_ROWS,)

    async def remains(self, item_ids: Sequence[str]) -> Mapping[str, Remains]:
        found = {}
        for item_id in item_ids:
            async with self._database.read() as tx:
                wraps = listed = 0
                with suppress(NotFound):
                    await keys.rec_key(tx, item_id)
                    wraps = 1
                with suppress(NotFound):
                    listed = int((await recordings.get(tx, item_id)).state != "destroyed")
            paths = (vault.sealed_path(self._vault_dir, item_id), vault.growing_path(self._vault_dir, item_id))
            found[item_id] = Remains(wraps, sum(path.exists() for path in paths), listed)
        return found


def _pieces(item_ids: Sequence[str], size: int) -> list[Sequence[str]]:
    return [item_ids[start : start + size] for start in range(0, len(item_ids), size)]
