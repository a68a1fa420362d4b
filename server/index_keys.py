"""Keys of the index that were replaced, before the deletion gate: each goes once nothing is found by it any more.

Items (kind "index_key") are "number:3" and "suppression:1": line and version. The lists of whom not to contact have a
line of their own: no number is kept beside them, so what is under an old key stays under it, and the key with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from retention.gate import Item, Plan, Remains, Trigger, plan_destruction
from storage import contact_keys, holds, index_keys, reindex
from storage.database import Database
from storage.tx import Tx

KIND = "index_key"
NUMBER, SUPPRESSION = "number", "suppression"
LINES = (NUMBER, SUPPRESSION)
METHOD = ("key_deleted",)
PACK = "INDEX_KEYS"
_TABLES = ("index_keys", "contact_keys", "hold_targets")


@dataclass(frozen=True, slots=True)
class KeyState:
    """`replaced_at` None: it is what is written under now."""

    line: str
    version: int
    created_at: datetime
    replaced_at: datetime | None

    @property
    def item_id(self) -> str:
        return f"{self.line}:{self.version}"


async def states(tx: Tx) -> list[KeyState]:
    """Every key that lives, line by line, oldest first."""
    found = []
    keys = {
        NUMBER: [(key.version, key.created_at) for key in await index_keys.list_all(tx)],
        SUPPRESSION: list(await contact_keys.versions(tx)),
    }
    for line, versions in keys.items():
        replaced = [created_at for _, created_at in versions[1:]]
        for at, (version, created_at) in enumerate(versions):
            found.append(KeyState(line, version, created_at, replaced[at] if at < len(replaced) else None))
    return found


async def left(tx: Tx, state: KeyState) -> Mapping[str, int]:
    """Place to how many are found by a key, where there are some. It counts them all: of the key that is in use, that
    is every number there is."""
    return await _left(tx, state.line, state.version)


async def count(tx: Tx) -> int:
    """How many were replaced and are still there."""
    return sum(state.replaced_at is not None for state in await states(tx))


async def plans_for(tx: Tx, now: datetime) -> list[Plan]:
    """Those that were replaced: whether they go, and what is still found by them."""
    plans = []
    for state in await states(tx):
        if state.replaced_at is None:
            continue
        item = Item(state.item_id, KIND, PACK, state.created_at, state.replaced_at)
        plan = plan_destruction(item, Trigger.RETENTION_EXPIRY, (), None, now)
        if under := await left(tx, state):
            said = ", ".join(f"{number} of {place}" for place, number in under.items())
            plan = replace(plan, destroy=False, rule=f"still found by it: {said}")
        plans.append(plan)
    return plans


class IndexKeys:
    """Fills ``retention.gate.ErasableTogether``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def destroy_keys(self, item_ids: Sequence[str]) -> Sequence[str]:
        """Those by which nothing is found. Nobody can be writing under one: see `storage.index_keys.barrier`."""
        async with self._database.transaction() as tx:
            await index_keys.barrier(tx)
        gone = []
        for item_id in item_ids:
            line, version = _parsed(item_id)
            async with self._database.transaction() as tx:
                await holds.lock(tx)
                if await _left(tx, line, version):
                    continue
                if line == NUMBER:
                    await holds.follow_keys(tx)
                    await holds.drop_key(tx, version)
                    await index_keys.destroy(tx, version)
                else:
                    await contact_keys.destroy(tx, version)
            gone.append(item_id)
        return gone

    async def remove_bytes(self, item_ids: Sequence[str]) -> tuple[str, ...]:
        if not item_ids:
            return ()
        await self._database.checkpoint_truncate()
        return await self._database.forget_rows(*_TABLES)

    async def remains(self, item_ids: Sequence[str]) -> Mapping[str, Remains]:
        async with self._database.read() as tx:
            living = {state.item_id for state in await states(tx)}
            return {
                item_id: Remains(int(item_id in living), 0, sum((await _left(tx, *_parsed(item_id))).values()))
                for item_id in item_ids
            }


async def _left(tx: Tx, line: str, version: int) -> Mapping[str, int]:
    if line == NUMBER:
        return await reindex.left(tx, version)
    number = await contact_keys.left(tx, version)
    return {"contact_suppressions": number} if number else {}


def _parsed(item_id: str) -> tuple[str, int]:
    line, _, version = item_id.partition(":")
    return line, int(version)
