"""An orphan before the deletion gate: what may be asked of files, keys and rows that belong to nothing.

Each looks once more whether it still is an orphan: what has found its other half meanwhile is left alone.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from config.paths import Paths
from config.places import place_of
from recording import vault
from retention.gate import DestructionRefused, Item, Plan, Remains, Trigger
from server.erasables import forget_index
from storage import access, holds, key_slots, keys, limits, orphans, reconciliation, recordings
from storage.database import Database
from storage.errors import NotFound
from storage.orphans import Orphan
from storage.tx import Tx

_KEPT = ("recording", "whole", "cut")
_TABLES: Mapping[str, tuple[str, ...]] = {
    "reason_without_entry": ("access_reasons",),
    "limit_of_nobody": ("limits",),
    "index_without_owner": ("call_peers", "recording_peers"),
}


class OrphanErasable:
    """Fills ``retention.gate.Erasable``, by the id of the orphan."""

    def __init__(self, db: Database, data: Path, clock: Callable[[], datetime]) -> None:
        self._db = db
        self._data = data
        self._vault = Paths(data).vault
        self._clock = clock

    async def destroy_key(self, item_id: str) -> None:
        """Keys and rows. Raises DestructionRefused where it is no orphan any more, or a legal hold lies on it."""
        orphan = await self._orphan(item_id)
        if orphan is None:
            return
        async with self._db.transaction() as tx:
            await holds.lock(tx)
            await self._check(tx, orphan)
            match orphan.kind:
                case "key_without_recording":
                    await keys.destroy_rec_key(tx, orphan.item)
                case "row_without_file" | "recording_without_key":
                    await recordings.destroy(tx, orphan.item, self._clock())
                case "reason_without_entry":
                    await access.erase(tx, orphan.item)
                case "place_without_key":
                    await self._empty(tx, orphan)
                case "limit_of_nobody":
                    await limits.remove(tx, orphan.item)
                case "index_without_owner":
                    await reconciliation.remove_index(tx, orphan.item)
        await self._db.checkpoint_truncate()

    async def remove_bytes(self, item_id: str) -> tuple[str, ...]:
        orphan = await self._orphan(item_id)
        if orphan is None:
            return ()
        match orphan.kind:
            case "file_without_row":
                await asyncio.to_thread(vault.remove, self._vault, Path(orphan.item).stem)
            case "row_without_file" | "recording_without_key":
                await asyncio.to_thread(vault.remove, self._vault, orphan.item)
            case "unknown_file" | "leftover":
                await asyncio.to_thread(_unlink, self._data / orphan.item)
        if orphan.kind in ("row_without_file", "recording_without_key"):
            return await forget_index(self._db)
        return await self._db.forget_rows(*_TABLES[orphan.kind]) if orphan.kind in _TABLES else ()

    async def remains(self, item_id: str) -> Remains:
        orphan = await self._orphan(item_id)
        if orphan is None:
            return Remains()
        async with self._db.read() as tx:
            match orphan.kind:
                case "file_without_row" | "unknown_file" | "leftover":
                    return Remains(files=int(await asyncio.to_thread(os.path.lexists, self._data / orphan.item)))
                case "key_without_recording":
                    return Remains(wraps=await keys.wraps(tx, orphan.item))
                case "row_without_file" | "recording_without_key":
                    state = (await recordings.states(tx, [orphan.item])).get(orphan.item, "destroyed")
                    file = vault.sealed_path(self._vault, orphan.item).exists()
                    return Remains(await keys.wraps(tx, orphan.item), int(file), int(state != "destroyed"))
                case "reason_without_entry":
                    return Remains(index_entries=int(await access.is_kept(tx, orphan.item)))
                case kind:
                    items, _ = await reconciliation.run(tx, kind, self._clock())
                    return Remains(index_entries=int(orphan.item in items))

    async def _orphan(self, item_id: str) -> Orphan | None:
        """None: gone already, and a look has seen that it is."""
        async with self._db.read() as tx:
            try:
                return await orphans.get(tx, item_id)
            except NotFound:
                return None

    async def _check(self, tx: Tx, orphan: Orphan) -> None:
        """Raises DestructionRefused."""
        rec_id = Path(orphan.item).stem if orphan.kind == "file_without_row" else orphan.item
        if orphan.kind in ("file_without_row", "row_without_file", "recording_without_key", "key_without_recording"):
            if held := (await holds.on(tx, "recording", [rec_id])).get(rec_id):
                raise self._refused(orphan, f"legal hold {', '.join(held)}")
            state = (await recordings.states(tx, [rec_id])).get(rec_id)
            if orphan.kind in ("file_without_row", "key_without_recording") and state in _KEPT:
                raise self._refused(orphan, "a recording lists it by now")
        if orphan.kind == "row_without_file" and vault.sealed_path(self._vault, rec_id).exists():
            raise self._refused(orphan, "its file is there by now")
        if orphan.kind == "recording_without_key" and await keys.wraps(tx, rec_id):
            raise self._refused(orphan, "its key is there by now")
        if (
            orphan.kind == "unknown_file"
            and place_of(orphan.item) is not None
            and not (self._data / orphan.item).is_symlink()
        ):
            raise self._refused(orphan, "this program knows that file by now")

    async def _empty(self, tx: Tx, orphan: Orphan) -> None:
        items, _ = await reconciliation.run(tx, orphan.kind, self._clock())
        if orphan.item in items:  # else it is free by now, or taken
            await key_slots.empty(tx, [int(orphan.item)])

    def _refused(self, orphan: Orphan, rule: str) -> DestructionRefused:
        now = self._clock()
        return DestructionRefused(Plan(Item(orphan.id, "orphan", "none", now, now), Trigger.ADMIN_ORDER, False, rule))


def _unlink(path: Path) -> None:
    """A file or a link itself, durably; never what a link leads to. Raises OSError."""
    path.unlink(missing_ok=True)
    if path.parent.exists():
        vault.sync_directory(path.parent)
