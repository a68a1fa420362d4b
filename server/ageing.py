"""What ages within call records, and the keys that go with it, before the deletion gate.

A field that becomes coarser is a destruction like any other: it is planned, a hold stops it, it is verified at the
stores, and has a receipt. The items are records (kind "call_field") and months ("month_key").
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from config import metadata_ages
from config import packs as pack_data
from retention import ageing as rules
from retention.ageing import Aging
from retention.due import due
from retention.gate import Hold, Item, Plan, Remains, Trigger, plan_destruction
from retention.metadata import MetadataClass, pack_of
from server.erasables import PAUSE_S
from storage import ageing, holds, month_keys
from storage.ageing import Stored
from storage.database import Database
from storage.tx import Tx

FIELD, MONTH_KEY = "call_field", "month_key"
KINDS = (FIELD, MONTH_KEY)
METHODS: Mapping[str, tuple[str, ...]] = {
    FIELD: ("fields_coarsened", "index_purged"),
    MONTH_KEY: ("key_deleted",),
}
RECORDS_AT_ONCE = 25  # in one transaction, some statements each: for some milliseconds no call can write
_TABLES = ("call_peers", "call_month_peers", "call_records")


def aging(stored: Stored) -> Aging:
    """A record as the rules take it."""
    return Aging(
        stored.call_id,
        stored.metadata_class,
        stored.at,
        stored.expires_at,
        stored.fields,
        stored.numbers,
        stored.keyed,
    )


class Fields:
    """Fills ``retention.gate.ErasableTogether`` for what is to become coarser by `now`."""

    def __init__(self, database: Database, now: datetime) -> None:
        self._database = database
        self._now = now

    async def destroy_keys(self, item_ids: Sequence[str]) -> Sequence[str]:
        """Each record in one transaction with its index, as it is to be: never partly."""
        gone: list[str] = []
        for start in range(0, len(item_ids), RECORDS_AT_ONCE):
            some = item_ids[start : start + RECORDS_AT_ONCE]
            async with self._database.transaction() as tx:
                await holds.lock(tx)
                held = await holds.on(tx, FIELD, some)
                for stored in await ageing.load(tx, [one for one in some if one not in held]):
                    await self._become(tx, stored)
            gone += [one for one in some if one not in held]
            await asyncio.sleep(PAUSE_S)
        return gone

    async def remove_bytes(self, item_ids: Sequence[str]) -> tuple[str, ...]:
        return await self._database.forget_rows(*_TABLES) if item_ids else ()

    async def remains(self, item_ids: Sequence[str]) -> Mapping[str, Remains]:
        """A record that still shows what it should not; one that has gone as a whole shows nothing."""
        ages = metadata_ages.load()
        async with self._database.read() as tx:
            found = {
                one.call_id: len(rules.due_ageing(aging(one), ages, self._now))
                for one in await ageing.load(tx, item_ids)
            }
        return {item_id: Remains(index_entries=found.get(item_id, 0)) for item_id in item_ids}

    async def _become(self, tx: Tx, stored: Stored) -> None:
        became = rules.aged(aging(stored), metadata_ages.load(), self._now, pack_data.load())
        await ageing.become(
            tx,
            stored.call_id,
            at=became.at,
            expires_at=became.expires_at,
            fields=became.fields,
            numbers=became.numbers,
            to_key=became.to_key,
            keyed=became.keyed,
            ages_at=became.ages_at,
            month=rules.month_of(stored.at),
            now=self._now,
        )


class MonthKeys:
    """Fills ``retention.gate.ErasableTogether``: with its key nobody can tell any more whose hashes a month had."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def destroy_keys(self, item_ids: Sequence[str]) -> Sequence[str]:
        """Those that no hash is under."""
        gone = []
        async with self._database.transaction() as tx:
            for month in item_ids:
                if not await month_keys.hashes(tx, month):
                    await month_keys.destroy(tx, month)
                    gone.append(month)
        return gone

    async def remove_bytes(self, item_ids: Sequence[str]) -> tuple[str, ...]:
        if not item_ids:
            return ()
        await self._database.checkpoint_truncate()
        return await self._database.forget_rows("month_keys")

    async def remains(self, item_ids: Sequence[str]) -> Mapping[str, Remains]:
        async with self._database.read() as tx:
            return {
                month: Remains(int(await month_keys.is_there(tx, month)), 0, await month_keys.hashes(tx, month))
                for month in item_ids
            }


async def count(tx: Tx, kind: str, now: datetime) -> int:
    """How many are due by `now`."""
    return await ageing.count_due(tx, now) if kind == FIELD else len(await _months(tx, now))


async def plans_for(tx: Tx, kind: str, now: datetime, *, limit: int, skip: int = 0) -> list[Plan]:
    """What is to become coarser or go by ``now``, and why something of it stays."""
    if kind == MONTH_KEY:
        return (await _months(tx, now))[skip : skip + limit]
    found = await ageing.load(tx, await ageing.due(tx, now, limit=limit, skip=skip))
    standing = await holds.on(tx, FIELD, [one.call_id for one in found])
    under = {call_id: [Hold(hold_id) for hold_id in hold_ids] for call_id, hold_ids in standing.items()}
    plans = due([_item(one) for one in found], under, pack_data.load(), now)
    ages, said = metadata_ages.load(), []
    for plan, one in zip(plans, found, strict=True):
        if steps := rules.due_ageing(aging(one), ages, now):
            said.append(replace(plan, rule=rules.because(steps)) if plan.destroy else plan)
    return said


async def by_day(tx: Tx, kind: str, now: datetime, days: int) -> dict[str, int]:
    """How many are due on which of the coming days (UTC), each by its next step; what is overdue counts for today."""
    if kind == FIELD:
        return await ageing.by_day(tx, now, days)
    until = now + timedelta(days=days)
    ages, packs = metadata_ages.load(), pack_data.load()
    moments = [rules.month_key_due(key.month, ages, packs) for key in await month_keys.list_all(tx)]
    found = Counter(max(moment, now).date() for moment in moments if moment.date() <= until.date())
    return {day.isoformat(): number for day, number in sorted(found.items())}


async def settle(database: Database, now: datetime) -> None:
    """Of records that are to be looked at, those of which nothing is due are given their next date."""
    ages, stays = metadata_ages.load(), 0
    while True:
        async with database.transaction() as tx:
            found = await ageing.load(tx, await ageing.due(tx, now, limit=RECORDS_AT_ONCE, skip=stays))
            for one in found:
                if rules.due_ageing(aging(one), ages, now):
                    stays += 1
                else:
                    await ageing.look_again(tx, one.call_id, rules.next_at(aging(one), ages, now))
        if not found:
            return
        await asyncio.sleep(PAUSE_S)


def _item(stored: Stored) -> Item:
    pack = pack_of(MetadataClass.parse(stored.metadata_class))
    return Item(stored.call_id, FIELD, pack, stored.at, stored.ages_at or stored.at)


async def _months(tx: Tx, now: datetime) -> list[Plan]:
    ages, packs = metadata_ages.load(), pack_data.load()
    plans = []
    for key in await month_keys.list_all(tx):
        item = Item(key.month, MONTH_KEY, "CDR_STANDARD", key.created_at, rules.month_key_due(key.month, ages, packs))
        if item.expires_at > now:
            continue
        plan = plan_destruction(item, Trigger.RETENTION_EXPIRY, (), None, now)
        if hashes := await month_keys.hashes(tx, key.month):
            plan = replace(plan, destroy=False, rule=f"{hashes} hashes still under it: a legal hold, or not aged yet")
        plans.append(plan)
    return plans
