"""Many things of one kind before the deletion gate: recordings, rows that have no key of their own, days of the ledger,
week keys."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from recording import vault
from retention.gate import Remains
from storage import call_records, expiry, holds, keys, log_days, recordings, spent_keys, text_expiry
from storage.database import Database

ROWS_AT_ONCE = 250  # in one transaction: some milliseconds in which no call can write
RECORDINGS_AT_ONCE = 50
REMAINS_AT_ONCE = 500
PAUSE_S = 0.02  # between transactions, for whoever waits to write
TABLES: Mapping[str, tuple[str, ...]] = {
    "call_record": ("call_peers", "call_month_peers", "call_records"),
    "diagnosis": ("call_diagnoses",),
    "usage": ("usage",),
    "emergency_call": ("emergency_calls",),
    "contact_consent": ("contact_consents",),
    "contact_reference": ("contact_references",),
    "contact_attempt": ("contact_attempts",),
    "hold": ("hold_targets", "holds"),
    "alert": ("alerts",),
    "recording_note": ("recording_notes",),
    "listening_request": ("listening_requests",),
    **text_expiry.TABLES,
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
    """Fills ``retention.gate.ErasableTogether`` for recordings.

    ``references``: what the records of their calls say of them goes, too. Of what has expired it stays: that a call was
    recorded is a fact for as long as its record is kept.
    """

    def __init__(self, database: Database, vault_dir: Path, now: datetime, *, references: bool = False) -> None:
        self._database = database
        self._vault_dir = vault_dir
        self._now = now
        self._references = references

    async def destroy_keys(self, item_ids: Sequence[str]) -> Sequence[str]:
        """The only wrap of each DEK, and what describes the recording."""
        gone: list[str] = []
        for some in _pieces(item_ids, RECORDINGS_AT_ONCE):
            async with self._database.transaction() as tx:
                await holds.lock(tx)
                held = await holds.on(tx, "recording", some)
                states = await recordings.states(tx, some)
                free = [i for i in some if i in states and (i not in held or states[i] == "destroyed")]
                await recordings.destroy_all(tx, free, self._now)
                if self._references:
                    await call_records.drop_recordings(tx, free)
            gone += free
            await asyncio.sleep(PAUSE_S)
        if gone:
            await self._database.empty_log()
        return gone

    async def remove_bytes(self, item_ids: Sequence[str]) -> tuple[str, ...]:
        for some in _pieces(item_ids, RECORDINGS_AT_ONCE):
            await asyncio.to_thread(self._remove_files, some)
        return await forget_index(self._database) if item_ids else ()

    def _remove_files(self, item_ids: Sequence[str]) -> None:
        for item_id in item_ids:
            vault.remove(self._vault_dir, item_id)

    async def remains(self, item_ids: Sequence[str]) -> Mapping[str, Remains]:
        found: dict[str, Remains] = {}
        for some in _pieces(item_ids, REMAINS_AT_ONCE):
            async with self._database.read() as tx:
                keyed, states = await keys.with_key(tx, some), await recordings.states(tx, some)
                named = await call_records.naming(tx, some) if self._references else frozenset()
            files = await asyncio.to_thread(self._files, some)
            for item_id in some:
                listed = int(states.get(item_id, "destroyed") != "destroyed") + int(item_id in named)
                found[item_id] = Remains(int(item_id in keyed), files[item_id], listed)
        return found

    def _files(self, item_ids: Sequence[str]) -> Mapping[str, int]:
        return {
            item_id: sum(
                path.exists()
                for path in (vault.sealed_path(self._vault_dir, item_id), vault.growing_path(self._vault_dir, item_id))
            )
            for item_id in item_ids
        }


async def forget_index(database: Database) -> tuple[str, ...]:
    """Of destroyed recordings: what described them. What may be left nevertheless, for the receipt."""
    names = ("recordings", "recording_peers", "recording_notes", "listening_requests", "recording_openings")
    return await database.forget_rows(*names, *(() if database.is_sqlite else ("rec_keys", "key_slots")))


class LogDays:
    """Fills ``retention.gate.ErasableTogether`` for days of a log: the leaves go, the signed heads stay."""

    def __init__(self, database: Database, kind: str, now: datetime) -> None:
        self._database = database
        self._kind = kind
        self._now = now

    async def destroy_keys(self, item_ids: Sequence[str]) -> Sequence[str]:
        """One transaction a day: its leaves, and what exists for their sake. A hold on what one of them names keeps the
        whole day."""
        gone: list[str] = []
        for day in item_ids:
            async with self._database.transaction() as tx:
                await holds.lock(tx)
                if await log_days.left(tx, self._kind, day) and await holds.on(tx, self._kind, [day]):
                    continue
                await log_days.prune(tx, self._kind, day, self._now)
            gone.append(day)
            await asyncio.sleep(PAUSE_S)
        return gone

    async def remove_bytes(self, item_ids: Sequence[str]) -> tuple[str, ...]:
        return await self._database.forget_rows(*log_days.TABLES[self._kind]) if item_ids else ()

    async def remains(self, item_ids: Sequence[str]) -> Mapping[str, Remains]:
        async with self._database.read() as tx:
            return {day: Remains(index_entries=await log_days.left(tx, self._kind, day)) for day in item_ids}


class WeekKeys:
    """Fills ``retention.gate.ErasableTogether`` for KEKs that nothing needs any more (`storage.spent_keys`)."""

    def __init__(self, database: Database, now: datetime) -> None:
        self._database = database
        self._now = now

    async def destroy_keys(self, item_ids: Sequence[str]) -> Sequence[str]:
        """Every wrap of each, and what is left under it. One that is needed again meanwhile is left alone."""
        gone: list[str] = []
        for kek_id in item_ids:
            async with self._database.transaction() as tx:
                await holds.lock(tx)
                if await keys.lock_kek(tx, kek_id):
                    if not await spent_keys.is_spent(tx, kek_id, self._now):
                        continue
                    await keys.destroy_kek(tx, kek_id, self._now)
            gone.append(kek_id)
            await asyncio.sleep(PAUSE_S)
        if gone:
            await self._database.checkpoint_truncate()
        return gone

    async def remove_bytes(self, item_ids: Sequence[str]) -> tuple[str, ...]:
        """SQLite: done with the keys. PostgreSQL: the dead rows give up their places."""
        if self._database.is_sqlite or not item_ids:
            return ()
        return await self._database.forget_rows("kek_wraps", "rec_keys", "held_keys", "key_slots")

    async def remains(self, item_ids: Sequence[str]) -> Mapping[str, Remains]:
        async with self._database.read() as tx:
            return {kek_id: Remains(wraps=await keys.kek_remains(tx, kek_id)) for kek_id in item_ids}


def _pieces(item_ids: Sequence[str], size: int) -> list[Sequence[str]]:
    return [item_ids[start : start + size] for start in range(0, len(item_ids), size)]
